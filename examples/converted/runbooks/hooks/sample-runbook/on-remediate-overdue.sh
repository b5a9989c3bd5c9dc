#!/usr/bin/env bash
# The repair takes longer than the page allows.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

TITLE='XID 79: GPU fell off the bus: repair overdue'

echo '[ ] If the node is not back within 40 minutes, page @infra-duty-manager and write in #infra-escalation.'

# sample-runbook.md:84
nvsx notify page --severity critical --title "$TITLE" --text 'If the node is not back within 40 minutes, page @infra-duty-manager and write in #infra-escalation.'

# sample-runbook.md:84
nvsx notify post --title "$TITLE" --text 'If the node is not back within 40 minutes, page @infra-duty-manager and write in #infra-escalation.'
