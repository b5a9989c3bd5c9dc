#!/usr/bin/env bash
# Closes what was opened, with the time to repair.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_over 'Uncorrectable GPU memory error' \
  "The GPU is reported healthy and the node is released. \
Compare the remapped rows (nvidia-smi -q -d ROW_REMAPPER): a failed remap, or few banks left, means replacement."
