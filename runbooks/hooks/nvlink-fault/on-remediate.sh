#!/usr/bin/env bash
# NVSentinel has done its part: repaired, or left to people.
set -euo pipefail

title='NVLink fault'

if [[ ${NVSX_INCIDENT_STATE:-} == 'needs people' ]]; then
  nvsx notify page --severity critical --title "$title: people repair it" \
    --text 'Check the NVLink errors (nvidia-smi nvlink -e) and the fabric, reseat or replace. NVSentinel releases the node once it is reported healthy.'
else
  nvsx notify post --title "$title: NVSentinel has done its part"
fi
