#!/usr/bin/env bash
# Hands the node to people, unless NVSentinel had it repaired.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

repair_or_people 'NVSwitch error' \
  "Look up the SXid in dmesg and the link it names, and the fabric manager's log. A reboot resets GPUs and switches together; when the error returns, the vendor replaces the baseboard. NVSentinel releases the node once it is reported healthy."
