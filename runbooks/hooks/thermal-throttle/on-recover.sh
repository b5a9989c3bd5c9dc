#!/usr/bin/env bash
# The reports have stopped, which is all that can be seen.
set -euo pipefail

nvsx notify post --title 'GPU throttles because of heat: no new report for ten minutes' \
  --text 'NVSentinel does not report the end of throttling: compare the temperatures before you call it cured.'
nvsx notify resolve
