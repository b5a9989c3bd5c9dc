#!/usr/bin/env bash
# preflight: before anything is watched. Check here that the people and tools this runbook
# needs can be reached. A hook only keeps books: it never changes the cluster.
#
# nvsx tells it what it needs: `env | grep '^NVSX_'` lists it. What goes to stdout is shown
# and kept with the run; a line in NVSX_REPORT_FILE joins the report.
set -euo pipefail

echo "$NVSX_RUNBOOK begins on $NVSX_TARGET_NODE ($NVSX_TARGET_ALIAS)"
if [[ -z ${SLACK_WEBHOOK_URL:-} ]]; then
  echo 'SLACK_WEBHOOK_URL is not set: the other hooks only say what they would post'
fi
