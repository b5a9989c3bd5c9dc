#!/usr/bin/env bash
# Wakes somebody: nvsx has stopped, and says why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

failure_told 'GPU InfoROM is corrupt' \
  "An InfoROM still corrupt after the reboot is reflashed with vendor tools, or the card goes back."
