#!/usr/bin/env bash
# The first word to the team: what was seen, and what NVSentinel will do about it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_seen 'Node is not ready' \
  "The kubelet does not report any more. Pods there may still run, unseen. NVSentinel should cordon the node, and then leave it to people."
