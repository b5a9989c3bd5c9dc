#!/usr/bin/env bash
# Posts what did not come true. The work itself may go on.
set -euo pipefail

title="Planned maintenance: ${NVSX_FAILED_STAGE:-the run} did not pass"
text="${NVSX_REASON:-no reason was given}"

nvsx notify post --title "$title" --text "$text"
nvsx notify ticket --title "$title" --text "$text"
