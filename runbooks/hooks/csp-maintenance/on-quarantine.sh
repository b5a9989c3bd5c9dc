#!/usr/bin/env bash
# Posts what the node carries, and opens a ticket. Pages nobody.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

planned_told 'Planned maintenance' \
  "The node takes no new work, and NVSentinel drains it. $(impact)"
