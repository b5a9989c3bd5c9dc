#!/usr/bin/env bash
# Hands the node to people, unless NVSentinel had it repaired.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

repair_or_people 'GPU memory row cannot be remapped' \
  "Confirm it with nvidia-smi -q -d ROW_REMAPPER (Remapping Failure Occurred: Yes), then have the card replaced: a reboot does not cure it. NVSentinel releases the node once it is reported healthy."
