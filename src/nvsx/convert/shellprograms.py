# ruff: noqa: E501 - patterns stay in one piece
"""The programs a converted hook may call, and with which arguments.

Each has a list of what it may be given; an option that is not on it is refused, since most
programs have one that reads a file, writes one or starts another program. Text comes in
through pipes, files only from nvsx's own variables.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nvsx.core.masking import is_secret_name
from nvsx.core.notify.spool_format import CALL_OPTIONS
from nvsx.lint.findings import Severity
from nvsx.lint.shell_script import ShellWord, WordPart


class Objection(NamedTuple):
    """Why shell is refused (`error`), or what a person has to judge (`warning`)."""

    line: int
    message: str
    hint: str = ""
    severity: Severity = "error"


_FILE = re.compile(
    r"\"\$\{?NVSX_(?:IMPACT|EVENT|REPORT)_FILE(?::-)?\}?\"|\"\$(?:NVSX_ARTIFACT_DIR|\{NVSX_ARTIFACT_DIR\})/[A-Za-z0-9][\w.-]*\"",
    re.ASCII,
)
_TEMPORARY = re.compile(r"\"?\$\(mktemp(?: -d)?\)\"?")
_READS = frozenset("get describe logs top version api-resources explain events".split())
_KUBE_ALONE = re.compile(
    r"-A|--all-namespaces|--no-headers|--show-labels|--ignore-not-found|--timestamps|--previous|-p|--all-containers|--client"
    r"|(?:--(?:namespace|output|selector|field-selector|sort-by|tail|since|container|request-timeout|for|types|limit-bytes|label-columns|chunk-size)=|-[nolcL](?=[^=]))(?P<value>.+)",
    re.DOTALL,
)
_KUBE_VALUED = frozenset(
    "-n --namespace -o --output -l --selector --field-selector --sort-by --tail --since -c --container --request-timeout --for --types -L".split()
)
_KUBE_OUTPUT = re.compile(
    r"(?:json|yaml|wide|name|(?:jsonpath|custom-columns|go-template)=.*)", re.DOTALL
)
_KIND = re.compile(r"[a-z][a-z0-9.]*(?:,[a-z][a-z0-9.]*)*(?:/[a-z0-9][a-z0-9.-]*)?")
_CURL_ALONE = re.compile(
    r"-[fsSgiI]+|--(?:fail|fail-with-body|silent|show-error|globoff|include|head|get|compressed|retry-connrefused)|-X(?:GET|POST|PUT)"
)
_CURL_VALUED = frozenset(
    "-X --request -m --max-time --connect-timeout --retry --retry-delay --retry-max-time -H --header -d --data --data-raw --json -u --user".split()
)
_CURL_PAIRS = (("-o", "/dev/null"), ("-w", "%{http_code}"), ("-w", r"\n%{http_code}"))
_CURL_BUNDLED = re.compile(r"-[fsSgiI]+([mXHdu])")
_METHOD = re.compile(r"GET|HEAD|POST|PUT|PATCH")
_URL = re.compile(
    r"https?://((?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+)(:\d{1,5})?(?P<rest>[/?#].*)?", re.DOTALL
)
_JQ_UNSAFE = re.compile(
    r"\benv\b|\$ENV|\b(?:input_filename|import|include|modulemeta|get_search_list|input_line_number)\b|\$__"
)


@dataclass(frozen=True, slots=True)
class _Takes:
    """What a program may be given: options alone, options with a value, how many words, and
    how many of nvsx's files after them."""

    alone: str = r"(?!)"
    valued: frozenset[str] = frozenset()
    words: int = 0
    files: int = 0


_TAKES: dict[str, _Takes] = {
    "grep": _Takes(r"-[qivoEFwcxnhs]+|-m\d+", frozenset({"-m", "-A", "-B", "-C"}), 1, 1),
    "cut": _Takes(r"-d.|-[fcb][\d,-]+", frozenset({"-d", "-f", "-c", "-b"}), 0, 0),
    "tr": _Takes(r"-[dsc]+", frozenset(), 2, 0),
    "sort": _Takes(r"-[nrufhVb]+|-k[\d.,nr]+|-t.", frozenset({"-k", "-t"}), 0, 1),
    "uniq": _Takes(r"-[cdui]+", frozenset(), 0, 0),
    "head": _Takes(r"-\d+|-[nc]-?\d+", frozenset({"-n", "-c"}), 0, 1),
    "tail": _Takes(r"-\d+|-[nc][-+]?\d+", frozenset({"-n", "-c"}), 0, 1),
    "wc": _Takes(r"-[lwcm]+", frozenset(), 0, 1),
    "cat": _Takes(files=3),
    "date": _Takes(r"-u|--utc|-I\w*|--iso-8601(?:=\w+)?", frozenset({"-d", "--date"}), 1, 0),
    "basename": _Takes(words=2),
    "dirname": _Takes(words=1),
    "mkdir": _Takes(r"-p", files=1),
    "seq": _Takes(words=3),
    "sleep": _Takes(words=1),
    "mktemp": _Takes(r"-d"),
    "rm": _Takes(r"-r?f", files=3),
    "tee": _Takes(r"-a", files=2),
    "diff": _Takes(r"-[uqw]+", files=2),
    "comm": _Takes(r"-[123]+", files=2),
    "paste": _Takes(r"-s?d?.?", files=2),
    "column": _Takes(r"-t|-s.", frozenset({"-s"})),
    "sed": _Takes(r"-[nEr]+", words=1, files=1),
    "awk": _Takes(r"-F.+", frozenset({"-F"}), 1, 1),
    "python3": _Takes(r"-c", words=1),
    **dict.fromkeys(("tac", "rev", "nl", "base64", "md5sum", "sha256sum"), _Takes(r"-[wd]\d*", files=1)),
    **dict.fromkeys(("hostname", "uname", "id", "whoami", "nproc", "uptime", "pwd"), _Takes(r"-[a-z]")),
    "jq": _Takes(r"-[recnRsSj]+|--(?:raw-output|exit-status|compact-output|null-input|raw-input|slurp)", frozenset(), 1, 1),
}  # fmt: skip
PROGRAMS = frozenset(_TAKES) | {"kubectl", "curl", "nvsx"}
_WRITERS = frozenset({"tee", "rm", "mkdir"})
#: Small languages: what is good without a look, and what a text in them must not have.
_LANGUAGES = {
    "sed": (
        r"\$?\d*(?:,\$?\d*)?[pd]|s([|/#,])(?:(?!\1)[^\n\\]|\\.)*\1(?:(?!\1)[^\n\\]|\\.)*\1[gip0-9]*",
        r"(?:^|[;\d$/!}])\s*[rRwWe]\b",
    ),
    "awk": (
        r"(?!.*(?:system|getline|ENVIRON|ARGV))[^|>@]*",
        r"system|getline|ENVIRON|ARGV|@|[|>]\s*[^\s\d=|]",
    ),
    "python3": (
        r"(?!)",
        r"\b(?:os|subprocess|socket|urllib|http|requests|ctypes|pathlib|shutil|importlib)\b|open\(|exec|eval|__|environ",
    ),
}
#: Facts of nvsx that hold none but `[A-Za-z0-9._:/-]`, and begin with no hyphen.
_TAME = frozenset(
    "NVSX_TARGET_NODE NVSX_TARGET_ALIAS NVSX_STAGE NVSX_RUNBOOK NVSX_RUN_ID NVSX_FAILED_STAGE BASH_SOURCE".split()
)
_MOST_INDIRECT = 5


@dataclass(slots=True)
class HookScript:
    """What the rules need to know of the script around a command: the values of its own
    variables (None for what was read), its arrays and the page's hosts; and what they found, at
    the `line` they are at."""

    own: Mapping[str, Sequence[ShellWord | None]]
    arrays: Sequence[tuple[str, tuple[ShellWord, ...]]]
    hosts: Collection[str] | None
    line: int = 1
    found: list[Objection] = field(default_factory=list)

    def refuse(self, message: str, hint: str = "") -> None:
        self.found.append(Objection(self.line, message, hint))

    def mark(self, message: str) -> None:
        """What cannot be judged by reading: it stays, and a person is told."""
        hint = "read what it does before you accept the hook"
        self.found.append(Objection(self.line, message, hint, "warning"))

    def spread(self, word: ShellWord) -> Sequence[ShellWord]:
        """The words of `"${array[@]}"`, where it is assigned once; else the word itself."""
        name = re.fullmatch(r"\"\$\{(\w+)\[@\]\}\"", word.raw)
        found = [items for known, items in self.arrays if name and known == name[1]]
        exact = len(found) == 1 and all(item.is_exact for item in found[0])
        return found[0] if exact else [word]

    def is_tame(self, word: ShellWord, depth: int = 0) -> bool:
        """Whether a word can be no option and no file reference, whatever is in its variables."""
        first = word.parts[0] if word.parts else WordPart("text", "")
        if first.kind in ("text", "number"):
            return not first.text.startswith(("-", "@"))
        dashed = first.operand.lstrip(":-+").startswith(("-", "@"))
        if first.kind != "variable" or depth > _MOST_INDIRECT or dashed:
            return False
        values = self.own.get(first.text, [None])
        return first.text in _TAME or all(v and self.is_tame(v, depth + 1) for v in values)

    def is_known_file(self, word: ShellWord) -> bool:
        """Whether a word names one of nvsx's own files, one directly in the artifact folder,
        one that `mktemp` made, or what a command prints, as `<(…)`."""
        made = word.raw.startswith("<(") and len(word.parts) == 1
        return made or self._is_temporary(word) or _FILE.fullmatch(word.raw) is not None

    def may_write(self, operator: str, word: ShellWord) -> bool:
        """Whether a redirection writes only to the artifact folder, or adds to the report."""
        kept = "NVSX_REPORT_FILE" in word.raw and operator == ">>"
        known = _FILE.fullmatch(word.raw) and (kept or "NVSX_ARTIFACT_DIR" in word.raw)
        return bool(known) or self._is_temporary(word)

    def _is_temporary(self, word: ShellWord) -> bool:
        if len(word.parts) != 1 or word.parts[0].kind != "variable" or word.parts[0].operand:
            return False
        values = self.own.get(word.parts[0].text, ())
        return bool(values) and all(v and _TEMPORARY.fullmatch(v.raw) for v in values)


def check_arguments(program: str, words: Sequence[ShellWord], script: HookScript) -> None:
    """Say what these arguments do that a hook may not."""
    words = [word for w in words for word in script.spread(w)]
    if loose := next((word for word in words if not word.is_exact), None):
        script.refuse(
            f"{program} gets {loose.raw}, which the shell may split or expand", "quote it"
        )
    elif program == "kubectl":
        _check_kubectl(words, script)
    elif program == "curl":
        _check_curl(words, script)
    elif program == "nvsx":
        _check_nvsx(words, script)
    else:
        _check_plain(program, words, script)


def _check_plain(program: str, words: Sequence[ShellWord], script: HookScript) -> None:
    takes, rest, taken = _TAKES[program], list(words), list[ShellWord]()
    while rest:
        word = rest.pop(0)
        text = word.literal
        if program == "jq" and text in ("--arg", "--argjson"):
            del rest[:2]
        elif text is not None and text in takes.valued and rest:
            rest.pop(0)
        elif text not in ("-", "--") and not re.fullmatch(takes.alone, text or "word"):
            taken.append(word)
    if program in _LANGUAGES and not taken:
        script.refuse(f"{program} runs what it reads", f"{program} with a text in quotes")
    for word in taken[: takes.words]:
        _check_operand(program, word, script)
    for index, word in enumerate(taken[takes.words :]):
        known = script.may_write(">>", word) if program in _WRITERS else script.is_known_file(word)
        if not known or index >= takes.files:
            hint = 'pipe the text in, or use nvsx\'s own files, such as "$NVSX_IMPACT_FILE"'
            script.refuse(f"{program} names a file outside the project: {word.raw}", hint)


def _check_operand(program: str, word: ShellWord, script: HookScript) -> None:
    """A word that is neither an option nor a file."""
    text = word.literal
    if (text or "").startswith("-") or not script.is_tame(word):
        script.refuse(f"{program} gets the option {word.raw}", f"use {program} without it")
    if program in ("seq", "sleep") and not re.fullmatch(r"[\d.]{1,6}", text or ""):
        script.refuse(f"{program} gets {word.raw}", "write a number")
    if program == "date" and not word.lead.startswith("+"):
        script.refuse(f"date gets {word.raw}, which sets the clock", "date -u +%H:%M")
    if program == "jq" and (text is None or _JQ_UNSAFE.search(text)):
        script.refuse("jq runs a filter that reads more than its input", "write it in quotes")
    if program in _LANGUAGES:
        good, bad = _LANGUAGES[program]
        if text is None or (not re.fullmatch(good, text, re.DOTALL) and re.search(bad, text)):
            what = "a text that may read files, write them or start programs"
            script.refuse(f"{program} runs {what}", "write it in single quotes, over its input")
        elif not re.fullmatch(good, text, re.DOTALL):
            script.mark(f"{program} runs a text of its own")


def _check_kubectl(words: Sequence[ShellWord], script: HookScript) -> None:
    rest, names = list(words), list[ShellWord]()
    while rest:
        word = rest.pop(0)
        option, value = word.lead, ""
        if not option.startswith("-"):
            names.append(word)
            continue
        if word.literal in _KUBE_VALUED:
            value = (rest.pop(0).lead or "x") if rest else ""
        elif match := _KUBE_ALONE.fullmatch(option + ("" if word.literal is not None else "x")):
            value = match["value"] or ""
        else:
            script.refuse(f"kubectl {word.raw} reaches beyond this run's cluster or reads a file")
            continue
        if re.match(r"-o|--output", option) and not _KUBE_OUTPUT.fullmatch(value):
            script.refuse(f"kubectl prints in the form {value or '?'}", "-o json, jsonpath=…")
    _check_kubectl_names(names, script)


def _check_kubectl_names(names: Sequence[ShellWord], script: HookScript) -> None:
    """What `kubectl` does with these words, its options left out."""
    verb = names[0].literal if names else ""
    if verb not in _READS:
        said = f"kubectl {names[0].raw if names else ''} is not a plain read"
        script.refuse(said, "kubectl get, describe or logs")
        return
    for name in names[1:]:
        if not script.is_tame(name):
            script.refuse(f"kubectl gets {name.raw}, which may be an option", "name it plainly")
    if verb not in ("get", "describe", "explain", "top") or len(names) < 2:
        return
    kind = names[1].literal
    if kind is None or not _KIND.fullmatch(kind):
        said = f"kubectl {verb} {names[1].raw} does not say plainly what it reads"
        script.refuse(said, "name it")
    elif any(re.search(r"(?:^|,)secrets?\b", n.literal or "") for n in names[1:]):
        script.refuse("kubectl reads secrets", "a hook has no use for them")
    elif "/" in kind and any(name.literal is None for name in names[2:]):
        script.refuse(f"kubectl {verb} reads more than {kind}", "one kubectl for each")


def _check_nvsx(words: Sequence[ShellWord], script: HookScript) -> None:
    """Only what tells people; its options as `nvsx notify` takes them."""
    said = [word.literal for word in words[:2]]
    if len(said) < 2 or said[0] != "notify" or said[1] not in CALL_OPTIONS:
        script.refuse(
            "nvsx does more here than tell people", "nvsx notify page, post, ticket or resolve"
        )
        return
    rest = list(words[2:])
    while rest:
        name, equals, _ = rest.pop(0).lead.partition("=")
        if name not in CALL_OPTIONS[said[1]] - {"--wait"}:
            script.refuse(f"nvsx notify {said[1]} gets {name or 'a word'} that it does not take")
        elif not equals and rest:
            rest.pop(0)


def _check_curl(words: Sequence[ShellWord], script: HookScript) -> None:
    rest, targets = list(words), list[ShellWord]()
    while rest:
        word = rest.pop(0)
        text = word.literal
        option = text or ""
        if bundled := _CURL_BUNDLED.fullmatch(option):
            option = f"-{bundled[1]}"
        if option in _CURL_VALUED and rest:
            _check_curl_value(option, rest.pop(0), script)
        elif rest and (text, rest[0].literal) in _CURL_PAIRS:
            rest.pop(0)
        elif _CURL_ALONE.fullmatch(option):
            continue
        elif word.lead.startswith("-"):
            script.refuse(f"curl {word.raw} uses a file, a proxy or another host")
        else:
            targets.append(word)
    if len(targets) != 1:
        script.refuse("curl gets not exactly one address", "one request, one address")
    literal = [t for t in targets if t.lead]
    for target in targets:
        _check_address(target, script)
    sent = sorted({n for w in words if w not in targets for n in w.names if is_secret_name(n)})
    if sent and literal:
        said = f"sends the value of ${sent[0]} to an address of the page"
        script.refuse(said, "only to one in a variable")
    inside = sorted({n for t in literal for n in t.names if is_secret_name(n)})
    if inside:
        said = f"says the value of ${inside[0]} in an address"
        script.refuse(said, "nvsx uses it by itself")


def _check_curl_value(option: str, value: ShellWord, script: HookScript) -> None:
    sends = option in ("-d", "--data", "--json", "-H", "--header")
    if option in ("-X", "--request"):
        if not _METHOD.fullmatch(value.literal or ""):
            script.refuse(f"curl sends {value.raw}", "GET or POST")
    elif sends and (not value.lead or value.lead.startswith("@")):
        said = f"curl {option} {value.raw} may read a file"
        script.refuse(said, "begin it with text, or use --data-raw")
    elif option in ("-m", "--max-time") and value.literal is None:
        script.refuse(f"curl waits {value.raw}", "write a number")


def _check_address(target: ShellWord, script: HookScript) -> None:
    """A literal address of the page, or one that the operator keeps in a variable."""
    first = target.parts[0] if target.parts else None
    if first is not None and first.kind == "variable":
        name = first.text
        following = target.parts[1].text if len(target.parts) > 1 else "/"
        put = name in script.own or first.operand not in ("", ":-", "-")
        foreign = name.startswith("NVSX_") or not name[0].isalpha()
        if put or foreign or not following.startswith(("/", "?")):
            said = f"curl gets an address put together in the script: {target.raw}"
            script.refuse(said, "write it plainly")
        return
    match = _URL.fullmatch(target.lead)
    if match is None or (target.literal is None and not match["rest"]):
        said = "curl gets an address put together in the script, or none of a page"
        script.refuse(f"{said}: {target.raw}", "write it plainly")
    elif script.hosts is not None and match[1].casefold() not in script.hosts:
        said = f"curl reaches {match[1]}, which the page does not name"
        script.refuse(said, "use an address of the page, or a variable")
