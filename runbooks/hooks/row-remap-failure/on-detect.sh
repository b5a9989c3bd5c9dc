#!/usr/bin/env bash
# The first word to the team: what was seen, and what NVSentinel will do about it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_seen 'GPU memory row cannot be remapped' \
  "A GPU has a bad memory row and no way to replace it. NVSentinel should cordon and drain the node, and then leave it to people."
