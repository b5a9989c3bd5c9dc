#!/usr/bin/env bash
# detect: NVSentinel reported the fault. Tell people; nothing is repaired by itself.
set -euo pipefail

text="$NVSX_RUNBOOK: fault reported on $NVSX_TARGET_NODE ($NVSX_TARGET_ALIAS)"

# Post it where your team looks. In a sandbox or drill the URL is taken away, so that a
# rehearsal reaches nobody. curl reads the URL from its standard input: it is a secret.
if [[ -n ${SLACK_WEBHOOK_URL:-} ]]; then
  printf 'url = "%s"\n' "$SLACK_WEBHOOK_URL" |
    curl -fsS --max-time 10 -K - --data "{\"text\": \"$text\"}" -H 'Content-Type: application/json'
else
  echo "would post: $text"
fi
