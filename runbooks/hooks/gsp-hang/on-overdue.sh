#!/usr/bin/env bash
# Tells people that the drain takes long: NVSentinel may wait for pods without limit.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/incident.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../lib/incident.sh"

overdue_by_stage 'GPU firmware hangs'
