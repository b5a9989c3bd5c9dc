#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'Preflight test failed' \
  --text 'A test before a job failed here, so the job did not start.'
