#!/usr/bin/env bash
# Says which channels can be reached before they are needed. Sends nothing.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

channels
