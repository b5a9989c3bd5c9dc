#!/usr/bin/env bash
# recover: it is over. Close what the other hooks opened: alert, ticket, thread.
set -euo pipefail

text="$NVSX_RUNBOOK on $NVSX_TARGET_NODE ($NVSX_TARGET_ALIAS) is over"
if [[ -n ${NVSX_MTTR_MS:-} ]]; then
  text="$text, $((NVSX_MTTR_MS / 1000)) s after the fault"
fi

if [[ -n ${SLACK_WEBHOOK_URL:-} ]]; then
  printf 'url = "%s"\n' "$SLACK_WEBHOOK_URL" |
    curl -fsS --max-time 10 -K - --data "{\"text\": \"$text\"}" -H 'Content-Type: application/json'
else
  echo "would post: $text"
fi
if [[ -n ${NVSX_REPORT_FILE:-} ]]; then
  echo "$text" >>"$NVSX_REPORT_FILE"
fi
