#!/usr/bin/env bash
# The node is empty, and its repair is next.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

NODE=${NVSX_TARGET_NODE:-the node}

echo '[ ] Collect the bug report first; after the reboot the evidence is gone:'
echo '    ssh '"$NODE"' sudo nvidia-bug-report.sh --output-file /tmp/xid79.log.gz'
echo '- A B200 tray takes about 12 minutes until the node is Ready.'
echo '! Be patient, and never power-cycle during the firmware check.'
