#!/usr/bin/env bash
# The repair request has finished; health comes later.
set -euo pipefail

title='GPU firmware hangs'

nvsx notify post --title "$title: the repair request has finished"
