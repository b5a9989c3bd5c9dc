#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'GPU firmware hangs' \
  --text 'A GPU does not answer its driver any more, or the driver asks for a reset (XID 109, 119, 120 or 154); jobs that use it are lost.'
