#!/usr/bin/env bash
# Notes that the reboot was carried out; health comes later.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_progress 'XID 79: GPU fell off the bus' \
  "The repair request finished after $(elapsed): the node is up again. \
Waiting for its GPUs to be reported healthy."
