#!/usr/bin/env bash
# Tells people that the drain takes long: NVSentinel may wait for pods without limit.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

overdue_told 'GPU InfoROM is corrupt' \
  "NVSentinel evicts nothing in its default mode (AllowCompletion): it waits for the pods to finish. \
The GPU may well compute correctly: there is time to let them."
