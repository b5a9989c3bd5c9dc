#!/usr/bin/env bash
# NVSentinel has done its part: repaired, or left to people.
set -euo pipefail

title='A fault without a runbook'

if [[ ${NVSX_INCIDENT_STATE:-} == 'needs people' ]]; then
  nvsx notify page --severity critical --title "$title: people repair it" \
    --text 'Look at the conditions of the node (kubectl describe node) for what was reported. NVSentinel releases the node once the fault is reported healthy.'
else
  nvsx notify post --title "$title: NVSentinel has done its part"
fi
