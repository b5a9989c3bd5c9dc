#!/usr/bin/env bash
# Wakes somebody: nvsx has stopped, and says why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

failure_told 'GPU memory row cannot be remapped' \
  "A GPU whose rows cannot be remapped meets the same memory error again: keep the node out of service until the card is replaced."
