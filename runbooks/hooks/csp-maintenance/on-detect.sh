#!/usr/bin/env bash
# Posts that work on the node was announced. Planned work pages nobody.
set -euo pipefail

nvsx notify post --title 'Planned maintenance announced' \
  --text 'Planned work on the node was announced.'
