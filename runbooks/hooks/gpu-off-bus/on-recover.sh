#!/usr/bin/env bash
# The node is back: nvsx closes page and ticket, and says so.
set -euo pipefail

title='XID 79: GPU fell off the bus'

# 1 is the first time within the window of nvsx's statistics.
if [[ -n ${NVSX_REPEAT_GPU:-} ]] && ((NVSX_REPEAT_COUNT > 1)); then
  nvsx notify post --title "$title: time $NVSX_REPEAT_COUNT on this GPU" \
    --text 'Reseat or replace the card.'
fi
nvsx notify resolve
