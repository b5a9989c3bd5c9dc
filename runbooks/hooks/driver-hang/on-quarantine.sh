#!/usr/bin/env bash
# NVSentinel has taken the node out of service: page, post and ticket.
set -euo pipefail

title='GPU driver hangs'
text='Pods on a hung driver may never end by themselves.'

nvsx notify page --severity warning --title "$title" --text "$text"
nvsx notify post --title "$title: quarantined" --text "$text"
nvsx notify ticket --title "$title" --text "$text"
