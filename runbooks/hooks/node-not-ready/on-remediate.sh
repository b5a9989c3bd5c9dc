#!/usr/bin/env bash
# Hands the node to people, unless NVSentinel had it repaired.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

repair_or_people 'Node is not ready' \
  "Can the machine be reached (console, BMC, ssh)? Look at the kubelet, the container runtime, disk and memory, and the network; power-cycle it when nothing answers. NVSentinel releases the node once it is Ready."
