#!/usr/bin/env bash
# The run is over, whatever its outcome: what to keep and to write.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

echo '[ ] Write up the incident within 2 working days, in the template (https://wiki.example.com/postmortem-template).'
echo '[ ] Add the node to the repeat offenders sheet (https://sheets.example.com/xid79) when this was not the first time.'
