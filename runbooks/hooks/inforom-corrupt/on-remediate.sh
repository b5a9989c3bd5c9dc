#!/usr/bin/env bash
# Notes that the repair request was carried out; health comes later.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_progress 'GPU InfoROM is corrupt' \
  "The repair request finished after $(elapsed). It does not rewrite the InfoROM: \
waiting to see whether DCGM still finds it corrupt."
