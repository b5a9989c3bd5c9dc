#!/usr/bin/env bash
# Hands the node to people, unless NVSentinel had it repaired.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

repair_or_people 'Network link down' \
  "Look at the port (ibstat, ip link, dmesg), its cable and transceiver, and the switch port at the other end. Several nodes at once point to the switch. NVSentinel releases the node once the port is reported healthy."
