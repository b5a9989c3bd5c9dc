#!/usr/bin/env bash
# NVSentinel has done its part: repaired, or left to people.
set -euo pipefail

title='Preflight test failed'

if [[ ${NVSX_INCIDENT_STATE:-} == 'needs people' ]]; then
  nvsx notify page --severity critical --title "$title: people repair it" \
    --text 'Read the test'\''s log, then repeat it by hand (dcgmi diag, NCCL tests). When the test was between nodes, try its other nodes in pairs before blaming this one. NVSentinel releases the node once a test reports it healthy.'
else
  nvsx notify post --title "$title: NVSentinel has done its part"
fi
