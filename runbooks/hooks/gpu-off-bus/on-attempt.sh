#!/usr/bin/env bash
# NVSentinel tries to repair again.
set -euo pipefail

title='XID 79: GPU fell off the bus'

nvsx notify post --title "$title: attempt ${NVSX_REPAIR_NO:-} to repair has begun"
