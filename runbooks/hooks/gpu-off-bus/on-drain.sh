#!/usr/bin/env bash
# Notes that the node is empty and the reboot is next.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_progress 'XID 79: GPU fell off the bus' \
  "Drained after $(elapsed). The reboot is next."
