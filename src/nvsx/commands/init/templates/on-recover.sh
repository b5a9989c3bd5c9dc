#!/usr/bin/env bash
# recover: it is over. nvsx closes the page and the ticket when the node is back, and says so.
set -euo pipefail

nvsx notify resolve
