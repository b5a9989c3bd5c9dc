#!/usr/bin/env bash
# NVSentinel has taken the node out of service: page, post and ticket.
set -euo pipefail

title='A fault without a runbook'

nvsx notify page --severity warning --title "$title"
nvsx notify post --title "$title: quarantined"
nvsx notify ticket --title "$title"
