#!/usr/bin/env bash
# Reminds people of a drain, a repair or a hand-over that takes long.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

overdue_by_stage 'Preflight test failed'
