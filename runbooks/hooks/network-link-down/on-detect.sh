#!/usr/bin/env bash
# The first word to the team: what was seen, and what NVSentinel will do about it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_seen 'Network link down' \
  "A port of the node is down, missing, or its driver reports an error; jobs across nodes fail or stall. NVSentinel should cordon and drain the node, and then leave it to people."
