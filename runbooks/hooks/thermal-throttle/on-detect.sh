#!/usr/bin/env bash
# Posts throttling; pages for a violation, which people must cure.
set -euo pipefail

# A violation asks for CONTACT_SUPPORT, throttling for nothing.
if grep -qs CONTACT_SUPPORT -- "${NVSX_EVENT_FILE:-}"; then
  nvsx notify page --severity critical --title 'GPU too hot: thermal violation' \
    --text 'Cool it: fans, air flow, the neighbours in the rack. NVSentinel does not repair this.'
else
  nvsx notify post --title 'GPU throttles because of heat' \
    --text 'Jobs on the node run slow. Look at fans, air flow and the neighbours in the rack.'
fi
