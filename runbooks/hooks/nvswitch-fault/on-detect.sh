#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'NVSwitch error' \
  --text 'A switch between the node'\''s GPUs reported a fatal error; jobs that use several GPUs fail.'
