# ruff: noqa: E501, RUF001 - patterns stay in one piece, in the languages of pages
"""How the facts of a page look: addresses, channels, people, times, warnings, commands.

Only regular expressions and the words they are made of, in the languages runbooks are
written in. They lean towards finding too much: what is found must be accounted for, what
is not found could be lost without a word.
"""

from __future__ import annotations

import re

_END = r"(?![\w])"

URL = re.compile(r"(?<![\w])(?:https?|ftp|ssh|slack|git)://[^\s<>\"'`|\\]+|\bmailto:[^\s<>\"')]+")
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]*[\w+]@[\w-]+(?:\.[\w-]+)+")
CHANNEL = re.compile(r"(?<![\w&/#=@.\])-])(?<!\]\()#(?=[\w-]*[^\W\d_])[^\W_][\w-]*")
HANDLE = re.compile(r"(?<![\w.+/@:-])@[^\W\d_][\w.-]*[^\W_]")
PHONE = re.compile(
    r"(?<![\w.+-])(?:\+\d[\d ().-]{5,}\d|\(\d{3}\)[ -]?\d{3}[ -]\d{4}|\d{3}-\d{3}-\d{4}"
    r"|(?:ext|extension|durchwahl|poste)\.? ?\d{2,6})(?![\w])",
    re.IGNORECASE,
)
_UNITS = (
    r"seconds?|secs?|s|minutes?|mins?|min|m|hours?|hrs?|hr|h|days?|d|weeks?|months?|ms|%|°C|°F"
    r"|[KMGT]i?B(?:/s)?|[KMG]bit/s|Gbps|W|kW|V|MHz|GHz|nodes?|GPUs?|pods?|jobs?|times|attempts?"
    r"|retries|reboots?|failures?|errors?|people|approvers?"
    r"|Sekunden?|Minuten?|Std\.?|Stunden?|Tagen?|Tage|Wochen?|Knoten|Mal"
    r"|secondes?|heures?|jours?|semaines?|fois|segundos?|minutos?|horas?|d[ií]as?|veces|nodos?"
    r"|minuti|ore|giorni|minuten|uur|dagen|минут\w*|час\w*|дн\w*|секунд\w*"
)
NUMBER = re.compile(
    rf"(?<![\w.,+-])[<>~≥≤±]?\s?\d+(?:[.,:]\d+)*(?:\s?(?:-|–|to|bis|à|a)\s?\d+(?:[.,]\d+)?)?"
    rf"(?:(?:[ -]?(?:{_UNITS}){_END})|(?:\s?(?:秒|分钟|分間|分|小时|小時|時間|天|日|周|週間|次|回|台|节点|ノード|분|시간|일)))"
    rf"|(?<![\w.,])\d+(?:[.,]\d+)?\s?(?:%|°C)",
    re.IGNORECASE,
)
SEVERITY = re.compile(
    r"(?<![\w-])(?:P[0-5]|SEV[- ]?[0-5]|S[1-4](?= incident)|Prio(?:rity)?[- ]?[0-5])(?![\w])",
    re.IGNORECASE,
)
XID = re.compile(
    r"\bS?XID(?:s|[- ]?(?:code|error|errors))?[\s:#=(]*(\d{1,3})(?:\.\w+)?\b", re.IGNORECASE
)
#: Keys of tickets and documents: GPUOPS-1234.
TICKET = re.compile(r"(?<![\w-])[A-Z][A-Z0-9]{1,9}-\d{1,6}(?![\w-])")

CAVEAT = re.compile(
    r"\b(?:warning|caution|caveat|danger(?:ous)?|beware|careful(?:ly)?|important|attention|note that"
    r"|never|do ?n[o']t|don’t|must ?n[o']t|mustn’t|cannot|can't|can’t|avoid|unless|except(?:ion)?|only if"
    r"|only when|only after|at (?:most|least)|no more than|make sure|be sure|known issue|gotcha|pitfall"
    r"|Achtung|Vorsicht|Warnung|Wichtig|niemals|nie|nicht|kein\w*|nur wenn|auf keinen Fall"
    r"|avertissement|prudence|jamais|ne (?:pas|jamais)|sauf|uniquement si"
    r"|advertencia|cuidado|nunca|no (?:hagas|hacer|reinici\w+|debe)|salvo|excepto"
    r"|attenzione|mai|opgelet|nooit|не|никогда|внимание|осторожно)\b"
    r"|[⚠❗🚨☠⛔🛑‼]|注意|警告|切勿|不要|不得|禁止|绝对|絶対|しないで|ください|주의|경고|금지",
    re.IGNORECASE,
)  # fmt: skip
CONDITION = re.compile(
    r"\b(?:if|unless|when(?:ever)?|in case|should the|otherwise|else|only|except|until|falls|wenn|sonst"
    r"|si|sinon|cuando|se|quando|als|если)\b|如果|若|否则|場合|もし|경우",
    re.IGNORECASE,
)
NEGATION = re.compile(
    r"\b(?:never|do ?n[o']t|don’t|must ?n[o']t|no need|not|without|avoid|nicht|nie|niemals|kein\w*|ne|jamais|nunca|не)\b"
    r"|不要|切勿|しないで|禁止",
    re.IGNORECASE,
)
_TAKES_LONG = (
    r"longer than|more than|exceeds?|over \d|for \d|after \d|still\b.*\bafter|\bnot\b.*\b(?:in|within|after)"
    r"|n[o'’]t\b.*\b(?:in|within|after)|länger als|nicht\b.*\b(?:in|nach)|nach \d|plus de|après \d|más de|después de"
)
OVERDUE = re.compile(
    rf"(?:{_TAKES_LONG})|超过|超過|以上",
    re.IGNORECASE,
)

SLACK = re.compile(
    r"\b(?:slack|mattermost|teams|discord|channel|kanal|canal|thread|announce\w*|post(?:e|ez|en)?(?= )|status ?page"
    r"|notify|notif\w+|inform\w*|tell|let .* know|heads[- ]?up|benachrichtig\w*|melde\w*|pr[ée]v(?:enir|enez)"
    r"|avis\w+|comunic\w+)\b|通知|通报|連絡|共有|알림",
    re.IGNORECASE,
)
PAGER = re.compile(
    r"^\W*page\b|\b(?:pager ?duty|opsgenie|victorops|page(?:r|s)?(?= (?:the|on|@|out|duty|them|him|her|us|whoever|whom|both|if|when|again|network|storage|dc|#|gpu|platform|secondary|primary|manager|incident))"
    r"|(?:call|wake|alert|contact) (?:up )?(?:the )?(?:\w+ )?on-?call|wake (?:up )?(?:the|@)|rufbereitschaft|bereitschaft|astreinte|guardia)\b|值班|待机|当番|オンコール",
    re.IGNORECASE,
)
JIRA = re.compile(
    r"\b(?:jira|tickets?|servicenow|issue type|story|RMA case)\b|工单|チケット", re.IGNORECASE
)
ESCALATE = re.compile(
    r"\b(?:e[sk][ck]al\w*|escal\w*|hand ?over|call)\b|升级|エスカレーション|上报", re.IGNORECASE
)
TALK = (SLACK, PAGER, JIRA, ESCALATE)
#: Headings of sections and tables that say whom to ask.
PEOPLE = re.compile(
    r"\b(?:owner\w*|contact\w*|escalation\w*|on-?call|team\w*|who|phone|e-?mail|channel\w*|responsible|approver\w*|stakeholder\w*"
    r"|verantwortlich\w*|ansprechpartner\w*|kontakt\w*|eskalation\w*|propri[ée]taire|responsable\w*|contacto\w*)\b"
    r"|负责人|联系|担当|連絡先|담당",
    re.IGNORECASE,
)

#: `Owner: …`, `Severity: …` at the head of a page.
LABEL = re.compile(r"\s*[^\W\d_][\w /-]{2,30}[:：]\s")

_PROGRAMS = (
    "kubectl oc helm nvidia-smi dcgmi nv-hostengine nvidia-bug-report.sh nvidia-debugdump nvsm ssh scp ipmitool "
    "redfishtool systemctl journalctl dmesg lspci lsmod modprobe reboot shutdown curl wget jq aws gcloud "
    "az terraform ansible ansible-playbook scontrol sinfo squeue sacct srun grep awk sed cat tail head "
    "ls cd sudo docker crictl nerdctl mongosh psql make bash sh python python3 jira pd nccl-tests "
    "ibstat ibstatus iblinkinfo ethtool ip ping mount umount fuser lsof kill pkill uptime last export "
    "argocd flux git vault promtool amtool logcli nvsx all_reduce_perf ./nvsx fabricmanager"
).split()
_NAMES = "|".join(re.escape(p) for p in sorted(_PROGRAMS, key=len, reverse=True))
#: A line of text that is a command, with or without a prompt.
PROGRAM_LINE = re.compile(
    rf"^\s*(?:[\w.@-]*[$#>] )?(?:sudo )?(?:{_NAMES})(?= [-\w/.$<{{\"'@]|\s*$)(?!.*[a-z]\. [A-Z])"
)
#: Programs that are hardly ever ordinary words, so that prose that names them means them.
PROSE_COMMAND = re.compile(
    r"(?<![\w/`-])(?:sudo )?(?:kubectl|oc adm|helm|nvidia-smi|dcgmi|nvidia-bug-report\.sh|ipmitool|systemctl|journalctl"
    r"|dmesg|scontrol|aws ec2|gcloud compute|az vm|ssh [\w@.<>$-]+ (?:sudo )?\w+|curl|lspci|modprobe|ibstat)(?= [\w<$\"'/-])"
)  # fmt: skip
STARTS_PROGRAM = re.compile(rf"^(?:[\w.@-]*[$#>] )?(?:sudo )?(?:{_NAMES})\b")
#: What stands for the node in the words of a page.
NODE_PLACE = re.compile(
    r"<(?:gpu[-_ ]?)?(?:node|host)(?:[-_ ]?name)?>|\$\{?(?:NODE|HOST)(?:_?NAME)?\}?(?!\w)"
    r"|\{\{?\s*(?:node|host)(?:_?name)?\s*\}?\}|\[(?:node|host)(?:[-_ ]?name)?\]|%(?:node|host)%",
    re.IGNORECASE,
)
