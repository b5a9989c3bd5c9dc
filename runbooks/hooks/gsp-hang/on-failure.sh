#!/usr/bin/env bash
# Wakes somebody: nvsx has stopped, and says why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

failure_told 'GPU firmware hangs' \
  "A GPU whose firmware hangs answers again only after a reset or a reboot: see how far NVSentinel's repair request came."
