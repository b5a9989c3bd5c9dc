#!/usr/bin/env bash
# Posts that nvsx has stopped following, and why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

planned_told 'Planned maintenance' \
  "nvsx has stopped following in ${NVSX_FAILED_STAGE:-an early stage}: ${NVSX_REASON:-no reason given}. The work itself may go on: check when the node comes back."
