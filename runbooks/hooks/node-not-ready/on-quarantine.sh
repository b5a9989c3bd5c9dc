#!/usr/bin/env bash
# NVSentinel has taken the node out of service: page, post and ticket.
set -euo pipefail

title='Node is not ready'
text='Nobody can tell from here whether its pods still run.'

nvsx notify page --severity warning --title "$title" --text "$text"
nvsx notify post --title "$title: quarantined" --text "$text"
nvsx notify ticket --title "$title" --text "$text"
