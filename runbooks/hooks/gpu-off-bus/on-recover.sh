#!/usr/bin/env bash
# Closes what was opened, with the time to repair.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_over 'XID 79: GPU fell off the bus' \
  "The GPU is back and the node is released. The second time on one card: reseat or replace it."
