#!/usr/bin/env bash
# The first word to the team: what was seen, and what NVSentinel will do about it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_seen 'NVSwitch error' \
  "A switch between the node's GPUs reported a fatal error; jobs that use several GPUs fail. NVSentinel should cordon and drain the node, and then leave it to people."
