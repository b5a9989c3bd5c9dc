#!/usr/bin/env bash
# NVSentinel has done its part: repaired, or left to people.
set -euo pipefail

title='Network link down'

if [[ ${NVSX_INCIDENT_STATE:-} == 'needs people' ]]; then
  nvsx notify page --severity critical --title "$title: people repair it" \
    --text 'Look at the port (ibstat, ip link, dmesg), its cable and transceiver, and the switch port at the other end. Several nodes at once point to the switch. NVSentinel releases the node once the port is reported healthy.'
else
  nvsx notify post --title "$title: NVSentinel has done its part"
fi
