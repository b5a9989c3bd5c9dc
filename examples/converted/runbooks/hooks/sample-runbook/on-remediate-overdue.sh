#!/usr/bin/env bash
# The repair takes longer than the page allows.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

TITLE='XID 79: GPU fell off the bus: repair overdue'

echo '[ ] If the node is not back within 40 minutes, page @infra-duty-manager and write in #infra-escalation.'

# sample-runbook.md:84
page critical "$(headline "$TITLE")" 'If the node is not back within 40 minutes, page @infra-duty-manager and write in #infra-escalation.' overdue

# sample-runbook.md:84
slack_post "$(headline "$TITLE")" 'If the node is not back within 40 minutes, page @infra-duty-manager and write in #infra-escalation.' Node "$(node_name)" Stage "${NVSX_STAGE:-?}"

notify_result
