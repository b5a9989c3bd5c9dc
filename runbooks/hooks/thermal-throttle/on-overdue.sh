#!/usr/bin/env bash
# Reports keep coming: somebody should look at the cooling.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

overdue_told 'GPU throttles because of heat' \
  "Heat reports have not stopped, or became a violation that NVSentinel quarantines the node for. \
It repairs neither: cordon the node yourself if its jobs suffer."
