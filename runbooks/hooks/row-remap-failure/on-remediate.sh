#!/usr/bin/env bash
# NVSentinel has done its part: repaired, or left to people.
set -euo pipefail

title='GPU memory row cannot be remapped'

if [[ ${NVSX_INCIDENT_STATE:-} == 'needs people' ]]; then
  nvsx notify page --severity critical --title "$title: people repair it" \
    --text 'Confirm it with nvidia-smi -q -d ROW_REMAPPER (Remapping Failure Occurred: Yes), then have the card replaced: a reboot does not cure it. NVSentinel releases the node once it is reported healthy.'
else
  nvsx notify post --title "$title: NVSentinel has done its part"
fi
