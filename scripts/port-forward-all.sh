#!/usr/bin/env bash
# Makes NVSentinel's metrics reachable from this machine: one `kubectl port-forward` for a
# pod of each module found, on a loopback port of its own, until Ctrl-C.
#
#   port-forward-all.sh [NODE]    with NODE, the monitors' pods on that node
#
#   NVSENTINEL_NAMESPACE   where NVSentinel runs (nvsentinel)
# No forward outlives this script, not even when it is killed: each has a guard that waits
# on a pipe only this process holds open.
set -euo pipefail

node=${1:-}
namespace=${NVSENTINEL_NAMESPACE:-nvsentinel}
port=2112
guards=()

command -v kubectl >/dev/null 2>&1 || {
  echo 'kubectl is not on PATH' >&2
  exit 3
}

# One line a running pod: module name, tab, pod name. The connectors' label is `nvsentinel`.
pods() {
  local path='{range .items[*]}{.metadata.labels.app\.kubernetes\.io/name}{"\t"}'
  path=$path'{.metadata.name}{"\t"}{.spec.nodeName}{"\n"}{end}'
  local names='fault-quarantine,node-drainer,fault-remediation,janitor,janitor-provider,labeler'
  names="$names,health-events-analyzer,event-exporter,csp-health-monitor,kubernetes-object-monitor"
  names="$names,nvsentinel,gpu-health-monitor,syslog-health-monitor,nic-health-monitor"
  kubectl get pods -n "$namespace" --request-timeout=10s --field-selector status.phase=Running \
    -l "app.kubernetes.io/name in ($names)" -o "jsonpath=$path" |
    awk -F '\t' -v node="$node" '
      $1 == "nvsentinel" { $1 = "platform-connectors" }
      !($1 in pod) || (node != "" && $3 == node) { pod[$1] = $2 }
      END { for (name in pod) print name "\t" pod[name] }' | LC_ALL=C sort
}

# forward MODULE POD: runs in the background; kubectl chooses the local port.
forward() {
  local module=$1 pod=$2 child guard line
  kubectl port-forward -n "$namespace" --address 127.0.0.1 "pod/$pod" ":$port" \
    </dev/null >"$work/$module" 2>&1 &
  child=$!
  # `read` ends when nobody holds the pipe open any more.
  (
    trap 'exit 0' TERM
    read -r _ || true
    kill "$child" 2>/dev/null || true
  ) <"$work/pipe" &
  guard=$!
  trap 'kill "$child" "$guard" 2>/dev/null || true' TERM
  wait "$child" || true
  kill "$guard" 2>/dev/null || true
  line=$(tail -n 1 "$work/$module" 2>/dev/null || true)
  [[ -e $work/stopping ]] || echo "$module: forward ended${line:+: $line}" >&2
}

stop() {
  trap - EXIT INT TERM HUP
  : >"$work/stopping" || true
  exec 9>&- # the guards wake up
  ((${#guards[@]} == 0)) || kill "${guards[@]}" 2>/dev/null || true
  wait || true
  rm -rf "$work"
  exit "${1:-0}"
}

# url MODULE: waits up to ten seconds for kubectl to say which port it took.
url() {
  local tries local_port
  for ((tries = 0; tries < 50; tries++)); do
    local_port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$work/$1" | head -n 1)
    if [[ -n $local_port ]]; then
      printf '%-28s http://127.0.0.1:%s/metrics\n' "$1" "$local_port"
      return
    fi
    sleep 0.2
  done
  echo "$1: no port after 10s: $(tail -n 1 "$work/$1")" >&2
}

found=$(pods) || {
  echo "cannot list pods in namespace $namespace; is NVSENTINEL_NAMESPACE right?" >&2
  exit 3
}
if [[ -z $found ]]; then
  echo "no running NVSentinel pods in namespace $namespace; set NVSENTINEL_NAMESPACE" >&2
  exit 1
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/nvsx-forward.XXXXXX")
trap 'stop 1' EXIT
trap 'stop 0' INT TERM HUP
mkfifo "$work/pipe"
exec 9<>"$work/pipe" # open both ways, so that opening does not wait for a reader

while IFS=$'\t' read -r module pod; do
  : >"$work/$module"
  forward "$module" "$pod" 9>&- &
  guards+=("$!")
done <<<"$found"
while IFS=$'\t' read -r module pod; do url "$module"; done <<<"$found"
echo 'Ctrl-C stops them all.'
wait
stop 1
