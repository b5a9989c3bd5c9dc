#!/usr/bin/env bash
# Wakes somebody: nvsx has stopped, and says why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

failure_told 'Uncorrectable GPU memory error' \
  "A memory fault that outlives the reboot is often a failed row remap (DCGM_FR_ROW_REMAP_FAILURE): \
replace the card."
