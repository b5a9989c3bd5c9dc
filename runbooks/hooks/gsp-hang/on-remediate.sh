#!/usr/bin/env bash
# Notes that the repair was carried out; health comes later.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_progress 'GPU firmware hangs' \
  "The repair request finished after $(elapsed). Waiting for the node's GPUs to be healthy."
