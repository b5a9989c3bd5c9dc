#!/usr/bin/env bash
# The node is back: nvsx closes page and ticket, and says so.
set -euo pipefail

nvsx notify resolve
