#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'GPU InfoROM is corrupt' \
  --text 'DCGM found a corrupt InfoROM. The GPU may well compute correctly.'
