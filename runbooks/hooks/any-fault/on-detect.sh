#!/usr/bin/env bash
# The first word to the team: what was seen, and what NVSentinel will do about it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_seen "$(fault_name)" \
  "No runbook of this project is for this fault, so the catch-all follows it. NVSentinel should cordon and drain the node; whether it then repairs it depends on the fault."
