#!/usr/bin/env bash
# NVSentinel has done its part: repaired, or left to people.
set -euo pipefail

title='GPU driver hangs'

if [[ ${NVSX_INCIDENT_STATE:-} == 'needs people' ]]; then
  nvsx notify page --severity critical --title "$title: people repair it" \
    --text 'Look at dmesg, nvidia-smi and the DCGM pods; reload the driver or reboot. NVSentinel releases the node once DCGM answers.'
else
  nvsx notify post --title "$title: NVSentinel has done its part"
fi
