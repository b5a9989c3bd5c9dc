#!/usr/bin/env bash
# The first word to the team. nvsx adds the node, the fault and what is awaited.
set -euo pipefail

nvsx notify post --title 'XID 79: GPU fell off the bus' \
  --text 'The driver lost the GPU on PCIe; jobs that use it are lost.'
