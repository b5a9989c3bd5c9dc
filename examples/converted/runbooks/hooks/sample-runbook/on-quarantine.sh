#!/usr/bin/env bash
# The node takes no new work, and its drain has begun.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

echo '[ ] Save what is needed before the pods go: the pod list above and kubectl logs of the failed ranks.'
echo '[ ] Trainers checkpoint on SIGTERM and need up to 15 minutes for it.'
echo '! Don'\''t use --force: it loses the checkpoint.'
