#!/usr/bin/env bash
# Hands the node to people, unless NVSentinel had it repaired.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

repair_or_people "$(fault_name)" \
  "Look at the node's conditions (kubectl describe node) for what was reported. NVSentinel releases the node once the fault is reported healthy."
