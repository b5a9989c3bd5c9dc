#!/usr/bin/env bash
# Wakes somebody: nvsx has stopped, and says why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

failure_told 'NVSwitch error' \
  "GPUs behind a faulty switch can look healthy one by one: check whether the node is cordoned before it takes work again."
