#!/usr/bin/env bash
# The repair request has finished: the time for checks.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

NODE=${NVSX_TARGET_NODE:-the node}

echo '[ ] All 8 GPUs are there: nvidia-smi -L | wc -l prints 8.'
echo '[ ] Run the DCGM check, level 3, about 20 minutes:'
echo '    dcgmi diag -r 3 -j > /tmp/dcgm-'"$NODE"'.json'
echo '[ ] PCIe link is at full width: lspci -vv -s b3:00.0 | grep LnkSta says Width x16.'
echo '[ ] If the GPU is still missing after the reboot, do not try again: open an RMA with the vendor and call DC operations, +1 650 555 0117, for a reseat.'
echo '! Unless the DCGM check passed, the node stays out.'
