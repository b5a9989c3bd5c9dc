#!/usr/bin/env bash
# The repair request has finished; health comes later.
set -euo pipefail

title='GPU InfoROM is corrupt'

nvsx notify post --title "$title: the repair request has finished" \
  --text 'It does not rewrite the InfoROM: DCGM tells whether it is still corrupt.'
