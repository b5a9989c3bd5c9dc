#!/usr/bin/env bash
# A stage takes longer than its budget. nvsx adds what is awaited.
set -euo pipefail

title='Uncorrectable GPU memory error'

nvsx notify page --severity warning --title "$title: ${NVSX_STAGE:-a stage} is overdue" \
  --text 'The results of the jobs there are suspect already: ask their owners to end them.'
