#!/usr/bin/env bash
# Says that the reports stopped, which is all that can be seen.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

fault_over 'GPU throttles because of heat' \
  "No new heat report for ten minutes. NVSentinel does not report the end of throttling: \
compare the temperatures before you call it cured."
