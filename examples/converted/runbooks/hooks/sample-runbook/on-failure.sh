#!/usr/bin/env bash
# A stage failed or ran out of time: nvsx has stopped following.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

TITLE='XID 79: GPU fell off the bus'

echo '[ ] If the GPU is still missing after the reboot, do not try again: open an RMA with the vendor and call DC operations, +1 650 555 0117, for a reseat.'

nvsx notify page --severity critical --title "$TITLE: ${NVSX_FAILED_STAGE:-the run} did not pass" --text 'What the page says about it is in the log of this run.'
