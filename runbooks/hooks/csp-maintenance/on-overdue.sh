#!/usr/bin/env bash
# Posts that the drain or the work takes long.
set -euo pipefail

title="Planned maintenance: ${NVSX_STAGE:-a stage} is overdue"

nvsx notify post --title "$title"
nvsx notify ticket --title "$title"
