#!/usr/bin/env bash
# Wakes somebody: nvsx has stopped, and says why.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

failure_told "$(fault_name)" \
  "Look at the node's conditions and whether it is cordoned: a fatal fault that is not quarantined leaves the node at work."
