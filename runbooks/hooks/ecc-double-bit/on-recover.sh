#!/usr/bin/env bash
# The node is back: nvsx closes page and ticket, and says so.
set -euo pipefail

title='Uncorrectable GPU memory error'

nvsx notify post --title "$title: afterwards" \
  --text 'Compare the remapped rows (nvidia-smi -q -d ROW_REMAPPER): a failed remap, or few banks left, means replacement.'
nvsx notify resolve
