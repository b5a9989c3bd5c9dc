#!/usr/bin/env bash
# The node is healthy and released: the wrap-up.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

TITLE='XID 79: GPU fell off the bus'
NODE=${NVSX_TARGET_NODE:-the node}

echo '[slack] Post in #gpu-ops: "'"$NODE"' is back in service. Thanks for your patience."'
echo '[ ] Add to the Jira ticket: time to repair, whether the GPU came back by itself, and the DCGM result.'
echo '[page] Close the PagerDuty incident.'
echo '[ ] Second XID 79 on the same GPU within 30 days: hardware. Book a swap with dc-ops@example.com.'

REPAIR=$(human_ms "${NVSX_MTTR_MS:-}")
echo "Time to repair: ${REPAIR:-not known}"
for part in '' overdue people; do
  page_over 'Recovered.' "$part"
done

# sample-runbook.md:107
slack_post "$(headline "$TITLE")" "$NODE"' is back in service. Thanks for your patience.'"${REPAIR:+ Time to repair: $REPAIR.}" Node "$(node_name)" Stage "${NVSX_STAGE:-?}"

# sample-runbook.md:108
jira_comment 'Add to the Jira ticket: time to repair, whether the GPU came back by itself, and the DCGM result.'"${REPAIR:+ Time to repair: $REPAIR.}"

notify_result
