#!/usr/bin/env bash
# Tells the team about throttling; pages for a violation, which people must cure.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

# A violation asks for CONTACT_SUPPORT, throttling for nothing.
if [[ -n ${NVSX_EVENT_FILE:-} && -r ${NVSX_EVENT_FILE:-} ]] &&
  grep -q CONTACT_SUPPORT -- "$NVSX_EVENT_FILE"; then
  people_needed 'GPU too hot: thermal violation' \
    "NVSentinel cordons and drains the node for this and does not repair it. Cool it: fans, air flow, the neighbours in the rack."
else
  fault_seen 'GPU throttles because of heat' \
    "Jobs on the node run slow. NVSentinel only reports this: no cordon, no drain, no repair. Look at fans, air flow and the neighbours in the rack."
fi
