#!/usr/bin/env bash
# Says which of the two ends it came to, and wakes people when it is theirs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

repair_or_people 'NVLink fault' \
  "Check the NVLink errors (nvidia-smi nvlink -e) and the fabric, reseat or replace; NVSentinel releases the node once it is healthy."
