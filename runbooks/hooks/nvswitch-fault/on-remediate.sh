#!/usr/bin/env bash
# NVSentinel has done its part: repaired, or left to people.
set -euo pipefail

title='NVSwitch error'

if [[ ${NVSX_INCIDENT_STATE:-} == 'needs people' ]]; then
  nvsx notify page --severity critical --title "$title: people repair it" \
    --text 'Look up the SXid in dmesg and the link it names, and the fabric manager'\''s log. A reboot resets GPUs and switches together; when the error returns, the vendor replaces the baseboard. NVSentinel releases the node once it is reported healthy.'
else
  nvsx notify post --title "$title: NVSentinel has done its part"
fi
