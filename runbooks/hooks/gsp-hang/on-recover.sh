#!/usr/bin/env bash
# Closes what was opened, with the time to repair.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_over 'GPU firmware hangs' \
  "The GPU answers again and the node is released. When it comes back on one GPU, compare driver and firmware versions with nodes that are well."
