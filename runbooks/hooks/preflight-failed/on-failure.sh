#!/usr/bin/env bash
# Wakes somebody: nvsx has stopped, and says why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

failure_told 'Preflight test failed' \
  "A node that failed its test and is in service again loses the next job's start: check whether it is cordoned."
