#!/usr/bin/env bash
# NVSentinel tries to repair again.
set -euo pipefail

title='Node is not ready'

nvsx notify post --title "$title: attempt ${NVSX_REPAIR_NO:-} to repair has begun"
