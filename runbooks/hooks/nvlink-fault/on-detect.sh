#!/usr/bin/env bash
# The first word to the team: what was seen, and what NVSentinel will do about it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_seen 'NVLink fault' \
  "NVSentinel should cordon and drain the node. A link down is then rebooted; \
XID 74 and codes it cannot decode are left to people. \
Known false reports: GPUs without an NVLink bridge, and an idle IMEX domain."
