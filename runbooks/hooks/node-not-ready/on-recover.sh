#!/usr/bin/env bash
# The node is back: nvsx closes page and ticket, and says so.
set -euo pipefail

title='Node is not ready'

nvsx notify post --title "$title: afterwards" --text 'Look for pods that were lost with it.'
nvsx notify resolve
