#!/usr/bin/env bash
# NVSentinel has done its part: repaired, or left to people.
set -euo pipefail

title='Node is not ready'

if [[ ${NVSX_INCIDENT_STATE:-} == 'needs people' ]]; then
  nvsx notify page --severity critical --title "$title: people repair it" \
    --text 'Can the machine be reached (console, BMC, ssh)? Look at the kubelet, the container runtime, disk and memory, and the network; power-cycle it when nothing answers. NVSentinel releases the node once it is Ready.'
else
  nvsx notify post --title "$title: NVSentinel has done its part"
fi
