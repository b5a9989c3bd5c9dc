#!/usr/bin/env bash
# The drain takes longer than the page allows.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

TITLE='XID 79: GPU fell off the bus: drain overdue'

echo '[ ] If the drain takes longer than 30 minutes, post in #batch-users and page @batch-leads.'

# sample-runbook.md:71
nvsx notify page --severity critical --title "$TITLE" --text 'If the drain takes longer than 30 minutes, post in #batch-users and page @batch-leads.'

# sample-runbook.md:71
nvsx notify post --title "$TITLE" --text 'If the drain takes longer than 30 minutes, post in #batch-users and page @batch-leads.'
