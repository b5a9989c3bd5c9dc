# shellcheck shell=bash
# One Jira ticket a run, and comments on it, for hooks: source it after notify.sh.
#
# Jira has no idempotency key, and even a refused create uses up an issue number. So a
# create is sent once, a repeated hook first looks for the run's label, and nothing that
# a project may not have (a priority, a component) is set.

# _jira_missing: the variables that are not set, comma separated.
_jira_missing() {
  local name missing=''
  for name in JIRA_BASE_URL JIRA_USER JIRA_API_TOKEN JIRA_PROJECT; do
    [[ -n ${!name:-} ]] || missing=${missing:+$missing, }$name
  done
  printf '%s' "$missing"
}

_jira_label() {
  local run=${NVSX_RUN_ID:-${NVSX_RUNBOOK:-run}-${NVSX_TARGET_NODE:-unknown}}
  printf 'nvsx-run-%s' "${run//[^A-Za-z0-9._-]/-}"
}

_jira_auth() { _conf user "$JIRA_USER:$JIRA_API_TOKEN"; }

# _jira_document TEXT: TEXT as an Atlassian document, one paragraph a line.
_jira_document() {
  local line out='' separator=''
  while IFS= read -r line; do
    [[ -n $line ]] || continue
    out=$out$separator'{"type":"paragraph","content":[{"type":"text","text":'
    out=$out$(json_string "$line")'}]}'
    separator=,
  done <<<"$(clip "$1" 20000)"
  printf '{"type":"doc","version":1,"content":[%s]}' "$out"
}

# _jira_key_in TEXT: the first issue key in an answer.
_jira_key_in() {
  local pattern='"key"[[:space:]]*:[[:space:]]*"([A-Z][A-Z0-9_]*-[0-9]+)"'
  [[ $1 =~ $pattern ]] && printf '%s' "${BASH_REMATCH[1]}"
}

# _jira_find: the key of this run's ticket. Fails with HTTP_STATUS 2xx when there is none.
_jira_find() {
  _http 2 "$(_conf url "${JIRA_BASE_URL%/}/rest/api/3/search/jql" && echo get &&
    _conf data-urlencode "jql=labels = \"$(_jira_label)\"" && _conf data 'fields=key' &&
    _conf data 'maxResults=1' && _jira_auth)" || return 1
  JIRA_KEY=$(_jira_key_in "$HTTP_BODY") || return 1
}

# jira_ticket SUMMARY TEXT: open the run's ticket, or find the one it has.
jira_ticket() {
  local summary=$1 text=$2 missing body
  missing=$(_jira_missing)
  if [[ -n $missing ]]; then
    echo "jira: not set: $missing; would open a ticket: $(one_line "$summary")"
    return 0
  fi
  if JIRA_KEY=$(_ledger_last jira create); then
    echo "jira: $JIRA_KEY is this run's ticket"
    return 0
  fi
  if ((${NVSX_ATTEMPT:-1} > 1)); then
    if _jira_find; then
      echo "jira: $JIRA_KEY was opened by an earlier attempt"
      _told jira create "$JIRA_KEY"
      return 0
    elif [[ $HTTP_STATUS != 2* ]]; then
      # Not knowing is no licence to open a second one.
      _failed jira 'the search for an earlier ticket'
      return 0
    fi
  fi
  body='{"fields":{"project":{"key":'$(json_string "$JIRA_PROJECT")'},"issuetype":{"name":'
  body=$body$(json_string "${JIRA_ISSUE_TYPE:-Task}")'},"summary":'
  body=$body$(json_string "$(clip "$(one_line "$summary")" 250)")',"labels":["nvsx",'
  body=$body$(json_string "${NVSX_RUNBOOK:-runbook}")','$(json_string "$(_jira_label)")']'
  body=$body',"description":'$(_jira_document "$text")'}}'
  if _post_json "${JIRA_BASE_URL%/}/rest/api/3/issue" "$body" 0 "$(_jira_auth)" &&
    JIRA_KEY=$(_jira_key_in "$HTTP_BODY"); then
    echo "jira: opened $JIRA_KEY"
    _told jira create "$JIRA_KEY"
  else
    _failed jira 'opening a ticket'
  fi
}

# jira_comment TEXT: comment on the run's ticket; says so when it has none.
jira_comment() {
  local missing
  missing=$(_jira_missing)
  if [[ -n $missing ]]; then
    echo "jira: not set: $missing; would comment: $(one_line "$1")"
    return 0
  fi
  _sent_before jira comment && return 0
  if ! JIRA_KEY=$(_ledger_last jira create) && ! _jira_find; then
    if [[ $HTTP_STATUS == 2* ]]; then
      echo "jira: this run has no ticket to comment on"
    else
      _failed jira "the search for the run's ticket"
    fi
    return 0
  fi
  if _post_json "${JIRA_BASE_URL%/}/rest/api/3/issue/$JIRA_KEY/comment" \
    '{"body":'"$(_jira_document "$1")"'}' 0 "$(_jira_auth)"; then
    echo "jira: commented on $JIRA_KEY"
    _told jira comment "$JIRA_KEY"
  else
    _failed jira "the comment on $JIRA_KEY"
  fi
}
