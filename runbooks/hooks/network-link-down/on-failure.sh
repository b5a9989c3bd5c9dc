#!/usr/bin/env bash
# Wakes somebody: nvsx has stopped, and says why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

failure_told 'Network link down' \
  "A node with a port down slows down every job it takes part in: check whether it is cordoned."
