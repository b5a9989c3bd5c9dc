#!/usr/bin/env bash
# The repair request has finished; health comes later.
set -euo pipefail

title='XID 79: GPU fell off the bus'

nvsx notify post --title "$title: the repair request has finished"
