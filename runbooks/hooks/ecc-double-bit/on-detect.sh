#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'Uncorrectable GPU memory error' \
  --text 'A GPU reported memory errors that ECC cannot correct: the results of the jobs on it are suspect.'
