#!/usr/bin/env bash
# Posts that the drain or the work takes long.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

case ${NVSX_STAGE:-} in
  drain) what="The node is not empty. NVSentinel's default mode waits for the pods to finish: the maintenance may begin before they do." ;;
  *) what='The node is still out of service. Ask whoever planned the work, and look at its MaintenanceRequest or the provider.' ;;
esac
planned_told 'Planned maintenance' "Overdue after $(elapsed). $what"
