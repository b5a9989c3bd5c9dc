#!/usr/bin/env bash
# The node is back: nvsx closes page and ticket, and says so.
set -euo pipefail

title='A fault without a runbook'

nvsx notify post --title "$title: afterwards" \
  --text 'If this fault comes again, give it a runbook of its own: nvsx init.'
nvsx notify resolve
