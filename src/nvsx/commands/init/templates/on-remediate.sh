#!/usr/bin/env bash
# remediate: @REMEDIATE@
set -euo pipefail

# nvsx adds the facts, and delivers to the targets of nvsx.yaml. In a sandbox or drill nothing
# leaves: what would be told is shown.
nvsx notify @REMEDIATE_CALL@ --title "$NVSX_RUNBOOK: @REMEDIATE_TEXT@"
