#!/usr/bin/env bash
# Reports have come for longer than an hour: somebody should look at the cooling.
set -euo pipefail

nvsx notify page --severity warning \
  --title "GPU throttles because of heat: ${NVSX_STAGE:-a stage} is overdue" \
  --text 'Cordon the node yourself if its jobs suffer.'
