#!/usr/bin/env bash
# A stage failed or ran out of time: nvsx has stopped following.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

TITLE='XID 79: GPU fell off the bus'

echo '[ ] If the GPU is still missing after the reboot, do not try again: open an RMA with the vendor and call DC operations, +1 650 555 0117, for a reseat.'

failure_told "$TITLE" 'What the page says about it is in the log of this run.'
