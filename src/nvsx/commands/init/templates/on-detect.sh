#!/usr/bin/env bash
# detect: NVSentinel reported the fault. Tell people; nothing is repaired by itself.
set -euo pipefail

# nvsx adds the facts, and delivers to the targets of nvsx.yaml. In a sandbox or drill nothing
# leaves. To wake somebody: nvsx notify page --severity error --title …
nvsx notify post --title "$NVSX_RUNBOOK: fault reported"
