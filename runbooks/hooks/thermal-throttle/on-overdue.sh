#!/usr/bin/env bash
# Reports keep coming: somebody should look at the cooling.
set -euo pipefail

nvsx notify page --severity warning \
  --title 'GPU throttles because of heat: reports have not stopped' \
  --text 'Cordon the node yourself if its jobs suffer.'
