#!/usr/bin/env bash
# Says which of the two ends it came to, and wakes people when it is theirs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

code=0
handed_to_people || code=$?
case $code in
  0)
    people_needed 'NVLink fault: handed to people' \
      "NVSentinel ordered no repair (CONTACT_SUPPORT). The node stays cordoned and drained. Check the NVLink errors (nvidia-smi nvlink -e) and the fabric, reseat or replace; NVSentinel releases the node once it is healthy."
    ;;
  1)
    fault_progress 'NVLink fault' \
      "The repair request finished after $(elapsed). Waiting for the node to be reported healthy."
    ;;
  *)
    people_needed 'NVLink fault: look at the node' \
      "NVSentinel's part is over, and this hook could not read from the cluster whether it repaired or gave up. Its label dgxc.nvidia.com/nvsentinel-state tells: remediation-failed means that people repair."
    ;;
esac
