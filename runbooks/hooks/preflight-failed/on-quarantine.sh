#!/usr/bin/env bash
# Opens the alert and the ticket, with the workloads the node carries.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_quarantined 'Preflight test failed' \
  "The node takes no new work. NVSentinel drains it and will not repair it: people are needed after the drain."
