#!/usr/bin/env bash
# Wakes somebody. nvsx adds the cause and its remedy.
set -euo pipefail

title='GPU driver hangs'
text="${NVSX_REASON:-no reason was given}"

nvsx notify page --severity critical --title "$title: ${NVSX_FAILED_STAGE:-the run} did not pass" \
  --text "$text"
nvsx notify ticket --title "$title" --text "${NVSX_FAILED_STAGE:-the run} did not pass: $text"
