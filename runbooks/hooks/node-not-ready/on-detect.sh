#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'Node is not ready' \
  --text 'The kubelet does not report any more. Pods there may still run, unseen.'
