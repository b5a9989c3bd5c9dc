#!/usr/bin/env bash
# The first word to the team: what was seen, and what NVSentinel will do about it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_seen 'GPU InfoROM is corrupt' \
  "DCGM found a corrupt InfoROM. NVSentinel should cordon and drain the node, then reboot it or reset the GPU."
