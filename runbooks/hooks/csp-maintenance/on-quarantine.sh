#!/usr/bin/env bash
# Posts what the node carries, and opens a ticket. Pages nobody.
set -euo pipefail

title='Planned maintenance: the node is out of service'

nvsx notify post --title "$title"
nvsx notify ticket --title "$title"
