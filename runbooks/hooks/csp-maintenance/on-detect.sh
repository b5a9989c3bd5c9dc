#!/usr/bin/env bash
# Posts that work on the node was announced.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_progress 'Planned maintenance' \
  "Planned work on the node was announced. NVSentinel should cordon and drain it before it begins: no action needed."
