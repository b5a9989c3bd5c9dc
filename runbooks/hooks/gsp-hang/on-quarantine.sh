#!/usr/bin/env bash
# Opens the alert and the ticket, with the workloads the node carries.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_quarantined 'GPU firmware hangs' \
  "The node takes no new work. NVSentinel drains it and then asks for a reboot: no action needed yet."
