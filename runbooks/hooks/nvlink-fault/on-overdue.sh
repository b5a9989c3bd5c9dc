#!/usr/bin/env bash
# Reminds people of a drain, a repair or a hand-over that takes long.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

case ${NVSX_STAGE:-} in
  drain) what="NVSentinel evicts nothing in its default mode (AllowCompletion): it waits for the pods to finish." ;;
  remediate) what='The repair request has not finished. NVSentinel gives a reboot 25 minutes: look at its status.' ;;
  *) what='The node is still out of service. Whoever took it over: where does it stand?' ;;
esac
overdue_told 'NVLink fault' "$what"
