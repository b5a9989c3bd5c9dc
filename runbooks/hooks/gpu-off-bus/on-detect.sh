#!/usr/bin/env bash
# The first word to the team: what was seen, and what NVSentinel will do about it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_seen 'XID 79: GPU fell off the bus' \
  "The driver lost the GPU on PCIe; jobs using it are lost. \
NVSentinel should cordon and drain the node, then reboot it."
