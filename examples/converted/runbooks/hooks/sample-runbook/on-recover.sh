#!/usr/bin/env bash
# The node is healthy and released: the wrap-up.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

TITLE='XID 79: GPU fell off the bus'
NODE=${NVSX_TARGET_NODE:-the node}

echo '[slack] Post in #gpu-ops: "'"$NODE"' is back in service. Thanks for your patience."'
echo '[ ] Add to the Jira ticket: time to repair, whether the GPU came back by itself, and the DCGM result.'
echo '[page] Close the PagerDuty incident.'
echo '[ ] Second XID 79 on the same GPU within 30 days: hardware. Book a swap with dc-ops@example.com.'

# sample-runbook.md:107
nvsx notify post --title "$TITLE" --text "$NODE"' is back in service. Thanks for your patience.'

# sample-runbook.md:108
nvsx notify ticket --title "$TITLE" --text 'Add to the Jira ticket: time to repair, whether the GPU came back by itself, and the DCGM result.'

nvsx notify resolve
