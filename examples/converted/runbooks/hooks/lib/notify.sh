# shellcheck shell=bash
# Sends to Slack, PagerDuty, Opsgenie and Jira, for hooks: source it, do not run it.
#
# Needs bash 3.2 and curl, nothing else. A channel whose variables are not set is not an
# error: the line printed instead says what would have been sent. A channel that fails is
# counted, the others go on, and `notify_result` ends the hook with 1 so that nvsx shows
# the run as degraded.
# Secrets (URLs, keys, tokens) reach curl through its standard input, never its arguments,
# and are never printed.
#
#   SLACK_WEBHOOK_URL                                an incoming webhook
#   PAGERDUTY_ROUTING_KEY [PAGERDUTY_EVENTS_URL]     Events API v2
#   OPSGENIE_API_KEY [OPSGENIE_API_URL]              also https://api.atlassian.com/jsm/ops/integration
#   JIRA_BASE_URL JIRA_USER JIRA_API_TOKEN JIRA_PROJECT [JIRA_ISSUE_TYPE]   Jira Cloud, REST v3

# Seconds after which a hook starts nothing new: nvsx stops it at 30.
: "${HOOK_DEADLINE:=24}"
NOTIFY_FAILED=0
HTTP_STATUS=000
HTTP_BODY=

# --- text -------------------------------------------------------------------------------

# json_string TEXT: TEXT as a JSON string, quotes included. Bytes that are not UTF-8 are
# dropped where iconv is there to tell.
json_string() {
  local LC_ALL=C text=$1 bs="\\" dq='"' i char code
  case $text in
    *[$'\200'-$'\377']*)
      if command -v iconv >/dev/null 2>&1; then
        text=$(printf '%s' "$text" | iconv -c -f UTF-8 -t UTF-8 2>/dev/null || true)
      fi
      ;;
  esac
  text=${text//"$bs"/"$bs$bs"}
  text=${text//"$dq"/"$bs$dq"}
  text=${text//$'\n'/"${bs}n"}
  text=${text//$'\r'/"${bs}r"}
  text=${text//$'\t'/"${bs}t"}
  case $text in
    *[$'\001'-$'\037']*)
      for ((i = 1; i < 32; i++)); do
        printf -v code '%02x' "$i"
        printf -v char '%b' "\\x$code"
        text=${text//"$char"/"${bs}u00$code"}
      done
      ;;
  esac
  printf '"%s"' "$text"
}

# clip TEXT BYTES: TEXT cut to at most BYTES bytes, never inside a UTF-8 character.
clip() {
  local LC_ALL=C text=$1 max=$2 i
  if ((${#text} > max)); then
    text=${text:0:max-3}
    for i in 1 2 3; do
      case $text in *[$'\200'-$'\277']) text=${text%?} ;; *) break ;; esac
    done
    case $text in *[$'\300'-$'\377']) text=${text%?} ;; esac
    text=$text...
  fi
  printf '%s' "$text"
}

# one_line TEXT: TEXT with line breaks as spaces, for printing.
one_line() {
  local text=${1//$'\n'/ }
  printf '%s' "${text//$'\r'/ }"
}

# slack_escape TEXT: the three characters Slack's mrkdwn gives a meaning to.
slack_escape() {
  local text=$1
  text=${text//&/"&amp;"}
  text=${text//</"&lt;"}
  printf '%s' "${text//>/"&gt;"}"
}

url_encode() {
  local LC_ALL=C text=$1 out='' i char hex
  for ((i = 0; i < ${#text}; i++)); do
    char=${text:i:1}
    case $char in
      [A-Za-z0-9._~-]) out=$out$char ;;
      *)
        printf -v hex '%02X' "'$char"
        out=$out%${hex: -2}
        ;;
    esac
  done
  printf '%s' "$out"
}

# --- what was sent ----------------------------------------------------------------------

# The ledger, one line a message: idempotency key, channel, action, reference. It tells a
# repeated hook what its first attempt already sent, and a later hook what to resolve.
_ledger() { printf '%s' "${NVSX_ARTIFACT_DIR:+$NVSX_ARTIFACT_DIR/notifications.tsv}"; }

_ledger_add() {
  local file
  file=$(_ledger)
  if [[ -n $file ]]; then
    (umask 077 && printf '%s\t%s\t%s\t%s\n' "${NVSX_IDEMPOTENCY_KEY:-}" "$1" "$2" "$3" >>"$file") ||
      echo "notify: cannot write $file" >&2
  fi
}

# _ledger_last CHANNEL ACTION: the last reference noted for them; fails when there is none.
_ledger_last() {
  local file key channel action ref found=''
  file=$(_ledger)
  [[ -n $file && -r $file ]] || return 1
  while IFS=$'\t' read -r key channel action ref; do
    [[ $channel == "$1" && $action == "$2" ]] && found=$ref
  done <"$file"
  [[ -n $found ]] && printf '%s' "$found"
}

# _sent_before CHANNEL ACTION: whether an earlier attempt of this very hook sent it.
_sent_before() {
  local file key channel action ref
  file=$(_ledger)
  [[ -n $file && -r $file && -n ${NVSX_IDEMPOTENCY_KEY:-} ]] || return 1
  while IFS=$'\t' read -r key channel action ref; do
    if [[ $key == "$NVSX_IDEMPOTENCY_KEY" && $channel == "$1" && $action == "$2" ]]; then
      echo "$1: told by an earlier attempt ($ref)"
      return 0
    fi
  done <"$file"
  return 1
}

# _told CHANNEL ACTION REF: note a message that really went out, here and in the report.
_told() {
  _ledger_add "$1" "$2" "$3"
  if [[ -n ${NVSX_REPORT_FILE:-} ]]; then
    printf 'notify target=%s ref=%s\n' "$1" "$3" >>"$NVSX_REPORT_FILE" ||
      echo "notify: cannot write $NVSX_REPORT_FILE" >&2
  fi
}

_failed() {
  NOTIFY_FAILED=$((NOTIFY_FAILED + 1))
  local answer
  answer=$(clip "$(one_line "$HTTP_BODY")" 200)
  echo "$1: NOT told, $2 failed with HTTP $HTTP_STATUS${answer:+: $answer}" >&2
}

# notify_result: the last command of a hook; 1 when a channel that is set up failed.
notify_result() { ((NOTIFY_FAILED == 0)); }

# incident_key: what PagerDuty and Opsgenie tell one incident from another by; at most 200
# bytes. The first one used is kept for the run, so that resolve meets trigger.
incident_key() {
  local LC_ALL=C key sum
  key=$(_ledger_last key use || true)
  if [[ -z $key ]]; then
    key=${NVSX_INCIDENT_KEY:-nvsx/${NVSX_RUN_ID:-${NVSX_RUNBOOK:-run}/${NVSX_TARGET_NODE:-unknown}}}
    if ((${#key} > 200)); then
      sum=$(printf '%s' "$key" | cksum)
      key=${key:0:180}-${sum%% *}
    fi
    _ledger_add key use "$key"
  fi
  printf '%s' "$key"
}

# --- HTTP -------------------------------------------------------------------------------

# _conf KEY VALUE: one line of a curl config file.
_conf() {
  local value=$2 bs="\\" dq='"'
  value=${value//"$bs"/"$bs$bs"}
  value=${value//"$dq"/"$bs$dq"}
  value=${value//$'\n'/"${bs}n"}
  value=${value//$'\r'/"${bs}r"}
  printf '%s = "%s"\n' "$1" "$value"
}

# _http RETRIES CONFIG: one request; sets HTTP_STATUS and HTTP_BODY, fails unless 2xx.
# curl itself retries 408, 429 and 5xx, and obeys Retry-After, within the time given.
_http() {
  local retries=$1 config=$2 left out
  HTTP_STATUS=000 HTTP_BODY=
  if ! command -v curl >/dev/null 2>&1; then
    HTTP_BODY='curl is not on PATH'
    return 1
  fi
  left=$((HOOK_DEADLINE - SECONDS))
  ((left > 9)) && left=9
  if ((left < 2)); then
    HTTP_BODY='no time left in this hook'
    return 1
  fi
  out=$(printf '%s' "$config" | curl -q --config - --silent --show-error --globoff \
    --connect-timeout 3 --max-time $(((left + 1) / 2)) \
    --retry "$retries" --retry-connrefused --retry-max-time $((left / 2)) \
    --write-out '\n%{http_code}' 2>&1) || true
  HTTP_STATUS=${out##*$'\n'}
  HTTP_BODY=${out%$'\n'*}
  [[ $HTTP_STATUS == 2[0-9][0-9] ]]
}

# _post_json URL BODY RETRIES [CONFIG LINES]
_post_json() {
  _http "$3" "$(_conf url "$1" && _conf header 'Content-Type: application/json' &&
    _conf data-raw "$2" && printf '%s\n' "${4:-}")"
}

# --- Slack ------------------------------------------------------------------------------

# slack_post HEADLINE TEXT [LABEL VALUE]...: a message with up to ten short fields.
slack_post() {
  local headline=$1 text=$2 plain fields='' separator='' body
  shift 2
  plain=$(slack_escape "$headline: $text")
  if [[ -z ${SLACK_WEBHOOK_URL:-} ]]; then
    echo "slack: SLACK_WEBHOOK_URL is not set; would post: $(one_line "$headline: $text")"
    return 0
  fi
  _sent_before slack post && return 0
  while (($# >= 2)); do
    fields=$fields$separator'{"type":"mrkdwn","text":'
    fields=$fields$(json_string "*$1*"$'\n'"$(clip "$(slack_escape "$2")" 1900)")'}'
    separator=,
    shift 2
  done
  body='{"text":'$(json_string "$(clip "$plain" 3000)")
  body=$body',"blocks":[{"type":"header","text":{"type":"plain_text","emoji":false,"text":'
  body=$body$(json_string "$(clip "$(one_line "$headline")" 150)")'}}'
  body=$body',{"type":"section","text":{"type":"mrkdwn","text":'
  body=$body$(json_string "$(clip "$(slack_escape "$text")" 2900)")'}}'
  body=$body${fields:+,'{"type":"section","fields":['$fields']}'}']}'
  if _post_json "$SLACK_WEBHOOK_URL" "$body" 2; then
    echo "slack: told"
    _told slack post "${NVSX_STAGE:-hook}"
  else
    _failed slack 'the post'
  fi
}

# --- pagers -----------------------------------------------------------------------------

# page SEVERITY SUMMARY DETAILS [PART]: open an alert (critical, error, warning or info) at
# every pager that is set up. PART tells a second alert of the same incident from the first:
# a pager stays silent when an open alert is triggered again.
page() {
  local severity=$1 summary=$2 details=$3 key
  key=$(incident_key)${4:+/$4}
  if [[ ${NVSX_STORM_ROLE:-} == member ]]; then
    echo "pager: not paged: one of ${NVSX_STORM_SIZE:-many} nodes in a storm, the first run pages"
    return 0
  fi
  if [[ -z ${PAGERDUTY_ROUTING_KEY:-}${OPSGENIE_API_KEY:-} ]]; then
    echo "pager: neither PAGERDUTY_ROUTING_KEY nor OPSGENIE_API_KEY is set;" \
      "would page ($severity, key $key): $(one_line "$summary")"
    return 0
  fi
  if [[ -n ${PAGERDUTY_ROUTING_KEY:-} ]]; then
    _pagerduty_trigger "$severity" "$summary" "$details" "$key"
  fi
  if [[ -n ${OPSGENIE_API_KEY:-} ]]; then
    _opsgenie_create "$severity" "$summary" "$details" "$key"
  fi
}

# page_over NOTE [PART]: resolve the alert this run opened, if it did.
page_over() {
  local note=$1 part=${2:-} key
  key=$(incident_key)${part:+/$part}
  if [[ -z ${PAGERDUTY_ROUTING_KEY:-}${OPSGENIE_API_KEY:-} ]]; then
    [[ -n $part ]] || echo "pager: neither PAGERDUTY_ROUTING_KEY nor OPSGENIE_API_KEY is set;" \
      "would resolve the alerts of $key"
    return 0
  fi
  if [[ -n ${PAGERDUTY_ROUTING_KEY:-} ]] && _is_open pagerduty "$part"; then
    _pagerduty_resolve "$key" "$part"
  fi
  if [[ -n ${OPSGENIE_API_KEY:-} ]] && _is_open opsgenie "$part"; then
    _opsgenie_close "$key" "$note" "$part"
  fi
}

# Without a ledger nobody knows, and to resolve what is not open does no harm.
_is_open() {
  [[ -z $(_ledger) ]] || _ledger_last "$1" "trigger${2:+/$2}" >/dev/null
}

_pagerduty_trigger() {
  local part=${4#"$(incident_key)"} body
  _sent_before pagerduty "trigger$part" && return 0
  body='{"routing_key":'$(json_string "$PAGERDUTY_ROUTING_KEY")',"event_action":"trigger"'
  body=$body',"dedup_key":'$(json_string "$4")',"client":"nvsx","payload":{"summary":'
  body=$body$(json_string "$(clip "$2" 1024)")
  body=$body',"source":'$(json_string "${NVSX_TARGET_NODE:-nvsx}")',"severity":"'$1'"'
  body=$body',"class":'$(json_string "${NVSX_RUNBOOK:-nvsx}")',"custom_details":{"details":'
  body=$body$(json_string "$(clip "$3" 20000)")',"run_id":'$(json_string "${NVSX_RUN_ID:-}")
  body=$body',"stage":'$(json_string "${NVSX_STAGE:-}")',"cluster":'
  body=$body$(json_string "${NVSX_CLUSTER:-}")',"alias":'$(json_string "${NVSX_TARGET_ALIAS:-}")'}}}'
  if _post_json "${PAGERDUTY_EVENTS_URL:-https://events.pagerduty.com/v2/enqueue}" "$body" 2; then
    echo "pagerduty: paged ($1, dedup_key $4)"
    _told pagerduty "trigger$part" "$4"
  else
    _failed pagerduty 'the page'
  fi
}

_pagerduty_resolve() {
  local body
  _sent_before pagerduty "resolve${2:+/$2}" && return 0
  body='{"routing_key":'$(json_string "$PAGERDUTY_ROUTING_KEY")
  body=$body',"event_action":"resolve","dedup_key":'$(json_string "$1")'}'
  if _post_json "${PAGERDUTY_EVENTS_URL:-https://events.pagerduty.com/v2/enqueue}" "$body" 2; then
    echo "pagerduty: resolved (dedup_key $1)"
    _told pagerduty "resolve${2:+/$2}" "$1"
  else
    _failed pagerduty 'the resolve'
  fi
}

_opsgenie_create() {
  local part=${4#"$(incident_key)"} priority body
  _sent_before opsgenie "trigger$part" && return 0
  case $1 in critical) priority=P1 ;; error) priority=P2 ;; warning) priority=P3 ;; *) priority=P5 ;; esac
  body='{"message":'$(json_string "$(clip "$2" 130)")',"alias":'$(json_string "$4")
  body=$body',"description":'$(json_string "$(clip "$2"$'\n\n'"$3" 14900)")
  body=$body',"tags":["nvsx",'$(json_string "$(clip "${NVSX_RUNBOOK:-runbook}" 50)")']'
  body=$body',"details":{"run_id":'$(json_string "${NVSX_RUN_ID:-}")',"stage":'
  body=$body$(json_string "${NVSX_STAGE:-}")'},"entity":'
  body=$body$(json_string "$(clip "${NVSX_TARGET_NODE:-}" 500)")
  body=$body',"source":"nvsx","priority":"'$priority'"}'
  if _post_json "${OPSGENIE_API_URL:-https://api.opsgenie.com}/v2/alerts" "$body" 2 \
    "$(_conf header "Authorization: GenieKey $OPSGENIE_API_KEY")"; then
    echo "opsgenie: paged ($priority, alias $4)"
    _told opsgenie "trigger$part" "$4"
  else
    _failed opsgenie 'the page'
  fi
}

_opsgenie_close() {
  local url
  _sent_before opsgenie "resolve${3:+/$3}" && return 0
  url=${OPSGENIE_API_URL:-https://api.opsgenie.com}/v2/alerts/$(url_encode "$1")
  if _post_json "$url/close?identifierType=alias" \
    '{"user":"nvsx","source":"nvsx","note":'"$(json_string "$(clip "$2" 1000)")"'}' 2 \
    "$(_conf header "Authorization: GenieKey $OPSGENIE_API_KEY")"; then
    echo "opsgenie: closed (alias $1)"
    _told opsgenie "resolve${3:+/$3}" "$1"
  else
    _failed opsgenie 'the close'
  fi
}
