#!/usr/bin/env bash
# The first word to the team: what was seen, and what NVSentinel will do about it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_seen 'GPU firmware hangs' \
  "A GPU does not answer its driver any more, or the driver asks for a reset (XID 109, 119, 120 or 154); jobs using it are lost. NVSentinel should cordon and drain the node, then reboot it."
