#!/usr/bin/env bash
# Notes that the repair request was carried out; health comes later.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_progress 'Uncorrectable GPU memory error' \
  "The repair request finished after $(elapsed). Pending row remaps take effect with it. \
Waiting for the GPU to be reported healthy."
