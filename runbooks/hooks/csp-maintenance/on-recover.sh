#!/usr/bin/env bash
# Posts that the node is back.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

planned_told 'Planned maintenance' \
  "The maintenance is reported as over, and NVSentinel has released the node. $(cordon_left)"
