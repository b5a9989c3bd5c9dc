#!/usr/bin/env bash
# Closes what was opened, with the time to repair.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_over 'Preflight test failed' \
  "The test reports the node healthy and it is released."
