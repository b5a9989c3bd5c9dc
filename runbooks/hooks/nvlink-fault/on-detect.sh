#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'NVLink fault' \
  --text 'Known false reports: GPUs without an NVLink bridge, and an idle IMEX domain.'
