#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'A fault without a runbook' \
  --text 'No runbook of this project is for this fault, so the catch-all follows it.'
