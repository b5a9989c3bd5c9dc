#!/usr/bin/env bash
# The repair request has finished; health comes later.
set -euo pipefail

title='Uncorrectable GPU memory error'

nvsx notify post --title "$title: the repair request has finished" \
  --text 'Pending row remaps take effect with it.'
