#!/usr/bin/env bash
# The first word to the team; a page at once when nobody will isolate the node.
set -euo pipefail

title='GPU driver hangs'

# STORE_ONLY is recorded by NVSentinel and acted upon by nobody.
if grep -qs STORE_ONLY -- "${NVSX_EVENT_FILE:-}"; then
  nvsx notify page --severity critical --title "$title: nobody isolates the node" \
    --text 'NVSentinel only stores this event. Decide whether to cordon the node.'
else
  nvsx notify post --title "$title" \
    --text 'DCGM gets no answer from the driver. Known false report: DCGM starting or being upgraded.'
fi
