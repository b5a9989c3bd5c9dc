#!/usr/bin/env bash
# The node is back: nvsx closes page and ticket, and says so.
set -euo pipefail

title='GPU firmware hangs'

nvsx notify post --title "$title: afterwards" \
  --text 'When it comes back on one GPU, compare driver and firmware versions with nodes that are well.'
nvsx notify resolve
