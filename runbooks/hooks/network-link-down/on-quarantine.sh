#!/usr/bin/env bash
# Opens the alert and the ticket, with the workloads the node carries.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_quarantined 'Network link down' \
  "The node takes no new work. NVSentinel drains it and will not repair a link: look at the cable, the transceiver and the switch port now."
