#!/usr/bin/env bash
# The fault was seen, and NVSentinel is about to quarantine the node.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

TITLE='XID 79: GPU fell off the bus'
NODE=${NVSX_TARGET_NODE:-the node}

echo '- Kernel log: NVRM: Xid (PCI:0000:b3:00): 79, GPU has fallen off the bus.'
echo '- nvidia-smi on the node prints Unable to determine the device handle.'
echo '- Jobs on the node die with CUDA error: unspecified launch failure.'
echo '[ ] Check that it is the real thing:'
echo '    ssh '"$NODE"' sudo dmesg -T | grep -i xid'
echo '    kubectl describe node '"$NODE"' | grep -A 3 SysLogsXIDError'
echo '[page] Page the GPU platform on-call through PagerDuty, service "GPU Platform P1".'
echo '[slack] Post in #gpu-ops before cordoning: "XID 79 on '"$NODE"': GPU fell off the bus. Node goes out of service, jobs on it are lost. Incident lead: on-call."'
echo '[ ] Tell #batch-users which jobs are affected.'
echo '    kubectl get pods -A --field-selector spec.nodeName='"$NODE"' -o wide'
echo '[jira] Open a Jira ticket with these fields:'
echo '    Project: GPUOPS'
echo '    Issue type: Incident'
echo '    Component: node-hardware'
echo '    Labels: xid79, fell-off-bus'
echo '    Summary: XID 79 on '"$NODE"', GPU lost'
echo '    Description: serial number of the tray, slot of the GPU, first Xid line of the kernel log'
echo '! Do not page the data centre yet: nine times out of ten the reboot brings the GPU back.'
echo '! Warning: never cordon more than 2 nodes of one rack at the same time: the job scheduler needs the rack for its 64-node gang jobs. Ask @batch-leads first.'

# sample-runbook.md:34
nvsx notify page --severity critical --title "$TITLE" --text 'Page the GPU platform on-call through PagerDuty, service "GPU Platform P1".'

# sample-runbook.md:35, sample-runbook.md:36
nvsx notify post --title "$TITLE" --text 'XID 79 on '"$NODE"': GPU fell off the bus. Node goes out of service, jobs on it are lost. Incident lead: on-call.
Tell #batch-users which jobs are affected.'

# sample-runbook.md:41, sample-runbook.md:42, sample-runbook.md:43, sample-runbook.md:44, sample-runbook.md:45, sample-runbook.md:46
nvsx notify ticket --title "$TITLE" --text 'Project: GPUOPS
Issue type: Incident
Component: node-hardware
Labels: xid79, fell-off-bus
Summary: XID 79 on '"$NODE"', GPU lost
Description: serial number of the tray, slot of the GPU, first Xid line of the kernel log'
