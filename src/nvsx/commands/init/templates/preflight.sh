#!/usr/bin/env bash
# preflight: before anything is watched. Check here that the tools this runbook needs are there.
# A hook only keeps books: it never changes the cluster.
#
# nvsx tells it what it needs: `env | grep '^NVSX_'` lists it. What goes to stdout is shown
# and kept with the run; a line in NVSX_REPORT_FILE joins the report. People are told with
# `nvsx notify page|post|ticket|resolve`.
set -euo pipefail

echo "$NVSX_RUNBOOK begins on $NVSX_TARGET_NODE ($NVSX_TARGET_ALIAS)"
