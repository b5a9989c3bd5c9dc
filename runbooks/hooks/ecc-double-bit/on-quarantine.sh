#!/usr/bin/env bash
# NVSentinel has taken the node out of service: page, post and ticket.
set -euo pipefail

title='Uncorrectable GPU memory error'
text='Owners should restart from a checkpoint that is older than the fault.'

nvsx notify page --severity warning --title "$title" --text "$text"
nvsx notify post --title "$title: quarantined" --text "$text"
nvsx notify ticket --title "$title" --text "$text"
