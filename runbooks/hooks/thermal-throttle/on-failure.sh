#!/usr/bin/env bash
# Wakes somebody. nvsx adds the cause and its remedy.
set -euo pipefail

title='GPU throttles because of heat'

nvsx notify page --severity critical --title "$title: ${NVSX_FAILED_STAGE:-the run} did not pass" \
  --text "${NVSX_REASON:-no reason was given}"
