#!/usr/bin/env bash
# Hands the node to people, unless another fault had it repaired.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

code=0
handed_to_people || code=$?
case $code in
  0)
    people_needed 'GPU driver hangs: handed to people' \
      "NVSentinel ordered no repair (CONTACT_SUPPORT). The node stays cordoned and drained. Look at dmesg, nvidia-smi and the DCGM pods; reload the driver or reboot. NVSentinel releases the node once DCGM answers."
    ;;
  1)
    fault_progress 'GPU driver hangs' \
      "The repair request finished after $(elapsed). Waiting for the node to be reported healthy."
    ;;
  *)
    people_needed 'GPU driver hangs: look at the node' \
      "NVSentinel's part is over, and this hook could not read from the cluster whether it repaired or gave up. Its label dgxc.nvidia.com/nvsentinel-state tells: remediation-failed means that people repair."
    ;;
esac
