#!/usr/bin/env bash
# A stage takes longer than its budget. nvsx adds what is awaited.
set -euo pipefail

title='Node is not ready'

nvsx notify page --severity warning --title "$title: ${NVSX_STAGE:-a stage} is overdue"
