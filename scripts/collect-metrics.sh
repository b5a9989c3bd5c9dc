#!/usr/bin/env bash
# Keeps what is left of an incident: the node, its pods, Events and maintenance requests,
# NVSentinel's logs and metrics. NVSentinel deletes much of it once a node has recovered.
#
#   collect-metrics.sh [NODE]     NODE defaults to NVSX_TARGET_NODE
#
# Files go to $NVSX_ARTIFACT_DIR/cluster (./nvsx-artifacts/manual-<time>/cluster by hand),
# with sha256 sums in MANIFEST.sha256 and what could not be had in missing.txt.
# Reads only. Never collected: Secrets, pod specs (their environment can hold some) and
# ConfigMaps other than NVSentinel's circuit breaker. Passwords in URLs are masked.
# A source that is missing, forbidden or slow is noted and passed over: the exit code is 0
# unless the folder itself cannot be written.
#   NVSENTINEL_NAMESPACE   where NVSentinel runs; looked for when not set
#   COLLECT_SECONDS        time for everything (240); a source gets at most 20
set -uo pipefail
umask 077

node=${1:-${NVSX_TARGET_NODE:-}}
out=${NVSX_ARTIFACT_DIR:-nvsx-artifacts/manual-$(date -u +%Y%m%dT%H%M%SZ)}/cluster
limit=${COLLECT_SECONDS:-240}
namespace=${NVSENTINEL_NAMESPACE:-}
kept=0
missing=0
log_lines=2000
server_path=
lost_told=
modules='fault-quarantine|node-drainer|fault-remediation|janitor|janitor-provider'
modules="$modules|health-events-analyzer|lifecycle-manager|csp-health-monitor|kubernetes-object-monitor"
on_node='nvsentinel|gpu-health-monitor|syslog-health-monitor|nic-health-monitor'

# bounded SECONDS COMMAND...: with whatever this machine has to stop a command that hangs.
bounded() {
  local seconds=$1
  shift
  if command -v timeout >/dev/null 2>&1; then
    timeout -k 2 "$seconds" "$@"
  elif command -v perl >/dev/null 2>&1; then
    perl -e 'alarm shift; exec @ARGV' "$seconds" "$@"
  else
    "$@"
  fi
}

# k ARGUMENT...: one bounded kubectl read. Only verbs that read are ever passed here.
k() {
  local left=$((limit - SECONDS))
  if ((left < 1)); then
    echo "no time left (COLLECT_SECONDS=$limit)" >&2
    return 1
  fi
  ((left > 20)) && left=20
  bounded "$left" kubectl --request-timeout="${left}s" "$@"
}

# lost SOURCE REASON: noted in missing.txt, and said once for each reason and folder.
lost() {
  local name=$1
  missing=$((missing + 1))
  printf '%s: %s\n' "$1" "$2" >>"$out/missing.txt"
  [[ $name != */*/* ]] || name="${name%/*}/*"
  if [[ $lost_told != *"<$name: $2>"* ]]; then
    lost_told="$lost_told<$name: $2>"
    echo "not collected: $name: $2"
  fi
}

mask() { sed -E 's#(://)[^/@[:space:]]+@#\1***@#g'; }

# reason FILE CODE: the last line a command left on stderr, or what its code means.
reason() {
  local text
  text=$(grep -v '^[[:space:]]*$' "$1" 2>/dev/null | tail -n 1 | mask)
  [[ -z $server_path ]] || text=${text//"$server_path"/}
  text=${text:0:200}
  case $2 in
    124 | 137 | 142) text="took longer than its time${text:+: $text}" ;;
  esac
  printf '%s' "${text:-exit code $2}"
}

# save NAME KUBECTL-ARGUMENT...: the output as a file, or a line in missing.txt.
save() {
  local name=$1 file=$out/$1 code=0
  shift
  mkdir -p "$(dirname "$file")" || return 1
  k "$@" 2>"$work/err" >"$work/out" || code=$?
  if ((code != 0)); then
    lost "$name" "$(reason "$work/err" "$code")"
    return 1
  fi
  mask <"$work/out" >"$file" || return 1
  kept=$((kept + 1))
}

finish() {
  local sum
  if command -v sha256sum >/dev/null 2>&1; then
    sum=(sha256sum)
  elif command -v shasum >/dev/null 2>&1; then
    sum=(shasum -a 256)
  else
    sum=()
    lost MANIFEST.sha256 'neither sha256sum nor shasum is on PATH'
  fi
  if ((${#sum[@]} > 0)); then
    (cd "$out" && find . -type f ! -name MANIFEST.sha256 -exec "${sum[@]}" {} +) |
      LC_ALL=C sort -k 2 >"$work/sums"
    cp "$work/sums" "$out/MANIFEST.sha256"
  fi
  echo "collected $kept files in $out; sources not available: $missing"
  exit 0
}

find_namespace() {
  local found
  [[ -n $namespace ]] && return
  if k get namespace nvsentinel -o name >/dev/null 2>&1; then
    namespace=nvsentinel
    return
  fi
  found=$(k get pods -A -l "app.kubernetes.io/name in (${modules//|/,},gpu-health-monitor)" \
    -o 'jsonpath={.items[0].metadata.namespace}' 2>/dev/null) || true
  namespace=$found
}

collect_node() {
  save node.yaml get node "$node" -o yaml || return 0
  save node.json get node "$node" -o json
  save node-describe.txt describe node "$node"
}

collect_pods_and_events() {
  save pods-on-node.txt get pods -A --field-selector "spec.nodeName=$node" -o wide
  save events-node.json get events -A \
    --field-selector "involvedObject.kind=Node,involvedObject.name=$node" -o json
}

# The kinds NVSentinel is known to create, and what this one is configured to.
maintenance_kinds() {
  printf '%s\n' rebootnodes.janitor.dgxc.nvidia.com terminatenodes.janitor.dgxc.nvidia.com \
    gpuresets.janitor.dgxc.nvidia.com externalremediationrequests.nvsentinel.dgxc.nvidia.com \
    validationrequests.nvsentinel.nvidia.com
  [[ -n $namespace ]] || return
  k get configmap fault-remediation -n "$namespace" -o 'jsonpath={.data.config\.toml}' 2>/dev/null |
    awk -F '"' '
      function flush() { if (kind != "" && group != "") print kind "." version "." group; kind = group = version = "" }
      /^[[:space:]]*\[/ { flush() }
      /^[[:space:]]*kind[[:space:]]*=/ { kind = $2 }
      /^[[:space:]]*version[[:space:]]*=/ { version = $2 }
      /^[[:space:]]*apiGroup[[:space:]]*=/ { group = $2 }
      END { flush() }' |
    grep -vE '^(RebootNode|TerminateNode|GPUReset)\.' | sort -u
}

collect_resources() {
  local kind name scope found path
  path='{range .items[*]}{.metadata.namespace}{"\t"}{.metadata.name}{"\t"}{.spec.nodeName}'
  path=$path'{" "}{.spec.healthEvent.nodeName}{" "}{range .spec.nodes[*]}{.name}{" "}{end}{"\n"}{end}'
  while IFS= read -r kind; do
    if ! found=$(k get "$kind" -A -o "jsonpath=$path" 2>"$work/err"); then
      # A kind that is not installed has left nothing behind.
      grep -q 'have a resource type' "$work/err" || lost "resources/$kind" "$(reason "$work/err" 1)"
      continue
    fi
    # A node's newest twenty are plenty; finished ones are kept for two weeks.
    while IFS='|' read -r scope name; do
      save "resources/$kind/$name.yaml" get "$kind" "$name" ${scope:+-n "$scope"} -o yaml
    done < <(awk -F '\t' -v node="$node" '
      { n = split($3, names, " "); for (i = 1; i <= n; i++) if (names[i] == node) { print $1 "|" $2; next } }' \
      <<<"$found" | tail -n 20)
  done < <(maintenance_kinds)
}

# Pods of NVSentinel: all of the central modules, and of the monitors those on the node.
nvsentinel_pods() {
  local path='{range .items[*]}{.metadata.name}{"\t"}{.spec.nodeName}{"\t"}'
  path=$path'{.metadata.labels.app\.kubernetes\.io/name}{"\n"}{end}'
  k get pods -n "$namespace" -o "jsonpath=$path" 2>"$work/err" |
    awk -F '\t' -v node="$node" -v central="^($modules)\$" -v monitor="^($on_node)\$" \
      '$3 ~ central || (node != "" && $2 == node && $3 ~ monitor) { print $1 }'
}

collect_nvsentinel() {
  local pod pods
  if [[ -z $namespace ]]; then
    lost nvsentinel 'no namespace found; set NVSENTINEL_NAMESPACE'
    return
  fi
  save nvsentinel/workloads.txt get deployments,daemonsets,pods -n "$namespace" -o wide
  save nvsentinel/circuit-breaker.yaml get configmap circuit-breaker -n "$namespace" -o yaml
  pods=$(nvsentinel_pods)
  if [[ -z $pods ]]; then
    lost nvsentinel/logs "no NVSentinel pods in namespace $namespace$(
      [[ -s $work/err ]] && printf ': %s' "$(reason "$work/err" 1)"
    )"
    return
  fi
  while IFS= read -r pod; do
    save "nvsentinel/logs/$pod.log" logs "$pod" -n "$namespace" --all-containers --prefix \
      --timestamps "--tail=$log_lines"
    save "nvsentinel/metrics/$pod.prom" get --raw \
      "$server_path/api/v1/namespaces/$namespace/pods/$pod:2112/proxy/metrics"
  done <<<"$pods"
}

mkdir -p "$out" || {
  echo "cannot write to $out" >&2
  exit 1
}
rm -f "$out/missing.txt"
work=$(mktemp -d "${TMPDIR:-/tmp}/nvsx-collect.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

if ! command -v kubectl >/dev/null 2>&1; then
  lost cluster 'kubectl is not on PATH; install it, or see the evidence nvsx keeps by itself'
  finish
fi
if ! k version >"$work/out" 2>"$work/err"; then
  lost cluster "the API server does not answer: $(reason "$work/err" 1)"
  finish
fi
# `get --raw` drops the path of the server's URL, which a cluster behind a gateway has.
server_path=$(k config view --minify -o 'jsonpath={.clusters[0].cluster.server}' 2>/dev/null |
  sed -nE 's#^https?://[^/]+(/.*[^/])/*$#\1#p')
find_namespace
if [[ -n $node ]]; then
  collect_node
  collect_pods_and_events
  collect_resources
else
  lost node 'no node given: name it, or set NVSX_TARGET_NODE'
fi
collect_nvsentinel
finish
