#!/usr/bin/env bash
# What the page says about everything: read it before you act.
# Made by `nvsx convert --offline` from sample-runbook.md; its words are the page's.
set -euo pipefail

echo '== P1: GPU fell off the bus (XID 79)'
echo '- Service: training clusters, all H100 and B200 pools. Severity: P1 while a customer job is on the node, P2 otherwise. Dashboards: GPU fleet health (https://grafana.example.com/d/gpu-fleet) and PCIe errors by rack (https://grafana.example.com/d/pcie-racks).'
echo '- What the alert looks like (https://wiki.example.com/download/xid79-alert.png)'
echo '== Contacts'
echo '- Role: Primary on-call | Who: GPU platform, @gpu-oncall | Where: #gpu-ops'
echo '- Role: Batch owners | Who: @batch-leads | Where: #batch-users'
echo '- Role: Data centre hands | Who: DC operations, +1 650 555 0117 | Where: dc-ops@example.com'
echo '- Role: Escalation | Who: @infra-duty-manager | Where: #infra-escalation'
echo '== Notes from past incidents'
echo '- 2025-03-11, GPUOPS-1182: node came back with 7 GPUs, nobody looked, a 512-GPU job hung for 6 hours. Always count.'
echo '- 2025-06-02, GPUOPS-1347: the drain hung for 3 h on a pod with a PodDisruptionBudget of 0. Its owner was on holiday; @batch-leads can override.'
echo '- 2025-09-19, GPUOPS-1523: two nodes of rack 14 at once. It was the PDU, not the GPUs. Look at the rack before you blame the card.'
