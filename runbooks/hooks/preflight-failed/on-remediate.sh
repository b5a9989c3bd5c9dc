#!/usr/bin/env bash
# Hands the node to people, unless NVSentinel had it repaired.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

repair_or_people 'Preflight test failed' \
  "Read the test's log, then repeat it by hand (dcgmi diag, NCCL tests). When the test was between nodes, try its other nodes in pairs before blaming this one. NVSentinel releases the node once a test reports it healthy."
