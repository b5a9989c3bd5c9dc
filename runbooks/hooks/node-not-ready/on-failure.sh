#!/usr/bin/env bash
# Wakes somebody: nvsx has stopped, and says why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

failure_told 'Node is not ready' \
  "A node whose kubelet is silent keeps its pods' names and volumes: stateful jobs do not move until it is back or deleted."
