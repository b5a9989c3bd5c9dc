#!/usr/bin/env bash
# The first word to the team; a page at once when NVSentinel will not even isolate the node.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

# STORE_ONLY is recorded by NVSentinel and acted upon by nobody.
if [[ -n ${NVSX_EVENT_FILE:-} && -r ${NVSX_EVENT_FILE:-} ]] &&
  grep -q STORE_ONLY -- "$NVSX_EVENT_FILE"; then
  people_needed 'GPU driver hangs: nobody isolates the node' \
    "DCGM gets no answer. NVSentinel only stores this event: no cordon, no drain will come. Decide whether to cordon the node."
else
  fault_seen 'GPU driver hangs' \
    "DCGM gets no answer from the driver. NVSentinel should cordon and drain the node, and then leave it to people. Known false report: DCGM starting or being upgraded."
fi
