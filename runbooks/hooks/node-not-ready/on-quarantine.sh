#!/usr/bin/env bash
# Opens the alert and the ticket, with the workloads the node carries.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_quarantined 'Node is not ready' \
  "The node takes no new work. Nobody can tell from here whether its pods still run; NVSentinel passes over those that have not been ready for five minutes, and will not repair the node."
