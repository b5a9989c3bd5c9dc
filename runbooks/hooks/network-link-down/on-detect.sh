#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'Network link down' \
  --text 'A port of the node is down, missing, or its driver reports an error; jobs across nodes fail or stall.'
