# shellcheck shell=bash
# What the hooks of a runbook tell people at each turn of an incident, and whom: source it
# after `set -euo pipefail`, do not run it. Each function ends with `notify_result`, so the
# last one called decides how the hook ends. Nothing here writes to the cluster.
#
#   fault_seen          detect       Slack
#   fault_quarantined   quarantine   pager (warning), Slack, Jira ticket with the impact
#   fault_progress      drain, …     Slack, Jira comment
#   overdue_told        onOverdue    a pager alert of its own (warning), Slack, Jira
#   people_needed       hand-over    a pager alert of its own (critical), Slack, Jira
#   repair_or_people    remediate    fault_progress or people_needed, whichever is true
#   planned_told        any          Slack, Jira: planned work pages nobody
#   failure_told        onFailure    the same, with what nvsx gave as the reason
#   fault_over          recover      all these alerts resolved, Slack, Jira comment
#
# The first alert is a warning because NVSentinel repairs by itself: a PagerDuty service
# with severity-based urgency lets people sleep. What needs them comes as an alert of its
# own, since a pager stays silent when an alert that is open already is triggered again.
# Members of a storm page nobody and stay off Slack; each keeps its ticket.

_lib=${BASH_SOURCE[0]%/*}
# shellcheck source-path=SCRIPTDIR source=notify.sh disable=SC1091
source "$_lib/notify.sh"
# shellcheck source-path=SCRIPTDIR source=jira.sh disable=SC1091
source "$_lib/jira.sh"

# --- words ------------------------------------------------------------------------------

# mark: what keeps a rehearsal from being taken for the real thing.
mark() {
  if [[ ${NVSX_SANDBOX:-} == 1 ]]; then
    printf '[SANDBOX] '
  elif [[ ${NVSX_DRILL:-} == 1 ]]; then
    printf '[DRILL] '
  fi
}

node_name() {
  printf '%s' "${NVSX_TARGET_NODE:-unknown node}${NVSX_TARGET_ALIAS:+ ($NVSX_TARGET_ALIAS)}"
}

# headline TITLE: `[DRILL] XID 79 on gpu-07 (brave-gazelle)`.
headline() { printf '%s%s on %s' "$(mark)" "$1" "$(node_name)"; }

# human_ms MILLISECONDS: `1h 02m 03s`; nothing for an empty or strange value.
human_ms() {
  [[ ${1:-} =~ ^[0-9]{1,15}$ ]] || return 0
  local s=$((10#$1 / 1000))
  if ((s >= 3600)); then
    printf '%dh %02dm %02ds' $((s / 3600)) $((s % 3600 / 60)) $((s % 60))
  elif ((s >= 60)); then
    printf '%dm %02ds' $((s / 60)) $((s % 60))
  else
    printf '%ds' "$s"
  fi
}

# since_fault: how long ago the fault was generated, when nvsx knows.
since_fault() {
  local time
  time=$(human_ms "${NVSX_INCIDENT_MS:-}")
  printf '%s' "${time:-not known}"
}

# elapsed: how long this stage has taken.
elapsed() {
  local time
  time=$(human_ms "${NVSX_ELAPSED_MS:-}")
  printf '%s' "${time:-an unknown time}"
}

# impact: the pods on the node as of quarantine, in a few words.
impact() {
  local file=${NVSX_IMPACT_FILE:-}
  if [[ -z $file || ! -s $file ]]; then
    echo 'Impact: not recorded.'
  elif ! python3 -I -- "$_lib/impact.py" "$file" 2>/dev/null; then
    echo "Impact: see $file."
  fi
}

# fault_name: what the event that fired the run is about, `SysLogsXIDError 110`.
fault_name() {
  local name
  if [[ -n ${NVSX_EVENT_FILE:-} && -s $NVSX_EVENT_FILE ]] &&
    name=$(python3 -I -- "$_lib/faultname.py" "$NVSX_EVENT_FILE" 2>/dev/null); then
    printf 'Fault %s' "$name"
  else
    printf 'Node fault'
  fi
}

# --- the cluster, read only -------------------------------------------------------------

# bounded SECONDS COMMAND...: stops a command that hangs, with what this machine has.
bounded() {
  local seconds=$1
  shift
  if command -v timeout >/dev/null 2>&1; then
    timeout "$seconds" "$@"
  elif command -v perl >/dev/null 2>&1; then
    perl -e 'alarm shift; exec @ARGV' "$seconds" "$@"
  else
    "$@"
  fi
}

# node_value JSONPATH: one value of the target node; fails when it cannot be read.
node_value() {
  [[ -n ${NVSX_TARGET_NODE:-} ]] && command -v kubectl >/dev/null 2>&1 &&
    bounded 6 kubectl get node "$NVSX_TARGET_NODE" --request-timeout=5s -o "jsonpath=$1" 2>/dev/null
}

# handed_to_people: 0 when NVSentinel's state label says that no repair was ordered, 1 when
# it ordered one in this session, 2 when nobody can tell from here, 3 when neither shows any
# more: a node that was released has lost both. The label alone does not say it: a fault that joins during a reboot sets it as well. A
# repair request is named after the event it answers: maintenance-<node>-<event id>.
handed_to_people() {
  local values state orders events request id
  local path='{.metadata.labels.dgxc\.nvidia\.com/nvsentinel-state}{"\n"}'
  path=$path'{.metadata.annotations.latestFaultRemediationState}{"\n"}'
  path=$path'{.metadata.annotations.quarantineHealthEvent}{"\n"}'
  values=$(node_value "$path") || return 2
  { IFS= read -r state && IFS= read -r orders && IFS= read -r events; } <<<"$values"$'\n\n' || true
  while [[ $orders =~ \"maintenanceCR\":[[:space:]]*\"([^\"]+)\" ]]; do
    request=${BASH_REMATCH[1]}
    orders=${orders#*"$request"}
    id=${request#maintenance-"$NVSX_TARGET_NODE"-}
    # Events of 2025 have no id: then the order can only be believed.
    if [[ $events == *"$id"* || $events != *'"id"'* ]]; then return 1; fi
  done
  [[ $state == remediation-failed ]] || return 3
}

# cordon_left: a warning when the node is still unschedulable after NVSentinel let go of it.
cordon_left() {
  local value
  if value=$(node_value '{.spec.unschedulable}') && [[ $value == true ]]; then
    echo 'The node is still cordoned, and not by NVSentinel: whoever cordoned it must uncordon it.'
  fi
}

# --- turns of an incident ---------------------------------------------------------------

# Quiet on Slack: one storm is one story.
_slack() {
  if [[ ${NVSX_STORM_ROLE:-} == member ]]; then
    echo "slack: not posted: one of ${NVSX_STORM_SIZE:-many} nodes in a storm, the first run posts"
    return 0
  fi
  local headline=$1 text=$2
  if [[ ${NVSX_STORM_ROLE:-} == leader ]]; then
    text="$text"$'\n'"This is one of ${NVSX_STORM_SIZE:-many} nodes with a fault at the same time."
  fi
  slack_post "$headline" "$text" Node "$(node_name)" Stage "${NVSX_STAGE:-?}" \
    Cluster "${NVSX_CLUSTER:-not named}" 'Since the fault' "$(since_fault)" \
    Run "${NVSX_RUN_ID:-?} of ${NVSX_RUNBOOK:-?}"
}

# fault_seen TITLE TEXT
fault_seen() {
  _slack "$(headline "$1")" "$2"
  notify_result
}

# fault_quarantined TITLE TEXT
fault_quarantined() {
  local head text
  head=$(headline "$1")
  text=$2$'\n'$(impact)
  page warning "$head: quarantined by NVSentinel" "$text"
  _slack "$head: quarantined" "$text"
  jira_ticket "$head" "$text"$'\n'"Runbook ${NVSX_RUNBOOK:-?}, run ${NVSX_RUN_ID:-?}."
  notify_result
}

# fault_progress TITLE TEXT
fault_progress() {
  _slack "$(headline "$1")" "$2"
  jira_comment "$(mark)$2"
  notify_result
}

# _alarm SEVERITY PART TITLE TEXT: an alert beside the first one, told everywhere.
_alarm() {
  local head text
  head=$(headline "$3")
  text=$4${NVSX_REASON:+$'\n'"Reason: $NVSX_REASON"}
  page "$1" "$head" "$text" "$2"
  _slack "$head" "$text"
  if _ledger_last jira create >/dev/null; then
    jira_comment "$(mark)$text"
  else
    jira_ticket "$head" "$text"$'\n'"Runbook ${NVSX_RUNBOOK:-?}, run ${NVSX_RUN_ID:-?}."
  fi
  notify_result
}

# overdue_told TITLE TEXT: it takes longer than it should; observing goes on.
overdue_told() {
  _alarm warning overdue "$1: ${NVSX_STAGE:-a stage} is overdue" \
    "Overdue after $(elapsed). $2"
}

# people_needed TITLE TEXT: NVSentinel will not repair this by itself.
people_needed() { _alarm critical people "$1" "$2"; }

# repair_or_people TITLE TEXT: which end NVSentinel's part came to. A finished request is a
# note; a node left to people is a page, with TEXT as what they can do.
repair_or_people() {
  local code=0
  handed_to_people || code=$?
  case $code in
    0)
      people_needed "$1: handed to people" \
        "NVSentinel ordered no repair for this. The node stays cordoned and drained. $2"
      ;;
    1)
      fault_progress "$1" \
        "The repair request finished after $(elapsed). Waiting for the node to be reported healthy."
      ;;
    3)
      fault_progress "$1" \
        "NVSentinel's part is over after $(elapsed); the node shows no request and no refusal any more. Waiting for it to be reported healthy."
      ;;
    *)
      people_needed "$1: look at the node" \
        "NVSentinel's part is over, and this hook could not read from the cluster whether it repaired or gave up. Its label dgxc.nvidia.com/nvsentinel-state tells: remediation-failed means that people repair."
      ;;
  esac
}

# overdue_by_stage TITLE: the reminder that fits the stage which takes long.
overdue_by_stage() {
  local what
  case ${NVSX_STAGE:-} in
    drain) what="NVSentinel evicts nothing in its default mode (AllowCompletion): it waits for the pods to finish." ;;
    remediate) what='The repair request has not finished. NVSentinel gives a reboot 25 minutes: look at its status.' ;;
    *) what='The node is still out of service. Whoever took it over: where does it stand?' ;;
  esac
  overdue_told "$1" "$what"
}

# planned_told TITLE TEXT: about work that somebody planned. A post and a ticket, never a page.
planned_told() {
  local head
  head=$(headline "$1")
  _slack "$head" "$2"
  if _ledger_last jira create >/dev/null; then
    jira_comment "$(mark)$2"
  else
    jira_ticket "$head" "$2"$'\n'"Runbook ${NVSX_RUNBOOK:-?}, run ${NVSX_RUN_ID:-?}."
  fi
  notify_result
}

# failure_told TITLE TEXT
failure_told() {
  _alarm critical people "$1: runbook failed in ${NVSX_FAILED_STAGE:-an early stage}" \
    "nvsx has stopped following; NVSentinel may still be at work. $2"
}

# fault_over TITLE TEXT: with the time to repair when there is one, and none made up. When it
# ended in another way (a new machine has taken the node's name), with that instead of TEXT.
fault_over() {
  local head text=${NVSX_REASON:+"It is over: $NVSX_REASON."} repair cordon
  text=${text:-$2}
  head=$(headline "$1")
  repair=$(human_ms "${NVSX_MTTR_MS:-}")
  text=$text${repair:+$'\n'"Time to repair: $repair."}
  cordon=$(cordon_left)
  text=$text${cordon:+$'\n'$cordon}
  page_over "$text"
  page_over "$text" overdue
  page_over "$text" people
  _slack "$head" "$text"
  jira_comment "$(mark)$text"
  notify_result
}

# channels: what is set up, before it is needed; sends nothing. Fails when a set variable
# cannot work.
channels() {
  local missing key=${PAGERDUTY_ROUTING_KEY:-}
  if [[ -z $key${OPSGENIE_API_KEY:-}${SLACK_WEBHOOK_URL:-}${JIRA_BASE_URL:-} ]]; then
    echo 'channels: none set up; each hook says what it would have sent'
    return 0
  fi
  command -v curl >/dev/null 2>&1 || {
    echo 'channels: curl is not on PATH, so nobody can be told' >&2
    return 1
  }
  missing=$(_jira_missing)
  [[ -z ${SLACK_WEBHOOK_URL:-} ]] || echo 'channels: slack is set up'
  [[ -z $key ]] || echo 'channels: pagerduty is set up'
  [[ -z ${OPSGENIE_API_KEY:-} ]] || echo 'channels: opsgenie is set up'
  [[ -n $missing ]] || echo 'channels: jira is set up'
  if [[ -n $key && ${#key} -ne 32 ]]; then
    echo "channels: PAGERDUTY_ROUTING_KEY has ${#key} characters; an Events v2 key has 32" >&2
    return 1
  fi
  # A rehearsal has lost its secrets on purpose; that is no mistake of the operator's.
  if [[ -n ${JIRA_BASE_URL:-} && -n $missing && -z $(mark) ]]; then
    echo "channels: JIRA_BASE_URL is set but not $missing" >&2
    return 1
  fi
}
