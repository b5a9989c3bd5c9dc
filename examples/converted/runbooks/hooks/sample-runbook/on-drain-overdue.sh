#!/usr/bin/env bash
# The drain takes longer than the page allows.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

TITLE='XID 79: GPU fell off the bus: drain overdue'

echo '[ ] If the drain takes longer than 30 minutes, post in #batch-users and page @batch-leads.'

# sample-runbook.md:71
page critical "$(headline "$TITLE")" 'If the drain takes longer than 30 minutes, post in #batch-users and page @batch-leads.' overdue

# sample-runbook.md:71
slack_post "$(headline "$TITLE")" 'If the drain takes longer than 30 minutes, post in #batch-users and page @batch-leads.' Node "$(node_name)" Stage "${NVSX_STAGE:-?}"

notify_result
