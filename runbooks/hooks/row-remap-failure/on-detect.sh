#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'GPU memory row cannot be remapped' \
  --text 'A GPU has a bad memory row and no way to replace it.'
