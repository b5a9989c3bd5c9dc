#!/usr/bin/env bash
# Hands the node to people, unless another fault had it repaired.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

repair_or_people 'GPU driver hangs' \
  "Look at dmesg, nvidia-smi and the DCGM pods; reload the driver or reboot. NVSentinel releases the node once DCGM answers."
