# ruff: noqa: E501 - patterns stay in one piece
"""The programs a converted hook may call, and with which arguments.

Each has a list of what it may be given; an option that is not on it is refused, since most
programs have one that reads a file, writes one or starts another program. Text comes in
through pipes, files only from nvsx's own variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from nvsx.convert.plainshell import Word
from nvsx.core.masking import is_secret_name

Said = tuple[int, str, str]
"""Line, message, hint."""

_FILE = re.compile(
    r"\"\$\{?NVSX_(?:IMPACT|EVENT|REPORT)_FILE(?::-)?\}?\"|\"\$(?:NVSX_ARTIFACT_DIR|\{NVSX_ARTIFACT_DIR\})/[A-Za-z0-9][\w.-]*\"",
    re.ASCII,
)
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
    "jq": _Takes(r"-[recnRsSj]+|--(?:raw-output|exit-status|compact-output|null-input|raw-input|slurp)", frozenset(), 1, 1),
}  # fmt: skip
PROGRAMS = frozenset(_TAKES) | {"kubectl", "curl"}


@dataclass(frozen=True, slots=True)
class Script:
    """What the rules need to know of the script around a command: which variables are its
    own, which words can be no option whatever is in them, and the page's hosts."""

    own: Collection[str]
    is_tame: Callable[[Word], bool]
    hosts: Collection[str] | None


def is_known_file(word: Word) -> bool:
    """Whether a word names one of nvsx's own files, or one directly in the artifact folder."""
    return _FILE.fullmatch(word.raw) is not None


def may_write(operator: str, word: Word) -> bool:
    """Whether a redirection writes only to the artifact folder, or adds to the report."""
    kept = "NVSX_REPORT_FILE" in word.raw and operator == ">>"
    return is_known_file(word) and (kept or "NVSX_ARTIFACT_DIR" in word.raw)


def arguments(program: str, words: Sequence[Word], line: int, script: Script) -> Iterator[Said]:
    """What these arguments do that a hook may not."""
    for word in words:
        if not word.is_exact:
            yield (
                line,
                f"{program} gets {word.raw}, which the shell may split or expand",
                "quote it",
            )
            return
    if program == "kubectl":
        yield from _kubectl(words, line, script)
    elif program == "curl":
        yield from _curl(words, line, script)
    else:
        yield from _plain(program, words, line, script)


def _plain(program: str, words: Sequence[Word], line: int, script: Script) -> Iterator[Said]:
    takes, rest, taken = _TAKES[program], list(words), list[Word]()
    if program == "jq":
        rest = list(_without_jq_variables(rest))
    while rest:
        word = rest.pop(0)
        text = word.literal
        if text is not None and text in takes.valued and rest:
            rest.pop(0)
        elif text not in ("-", "--") and not re.fullmatch(takes.alone, text or "word"):
            taken.append(word)
    plain, files = taken[: takes.words], taken[takes.words :]
    for word in plain:
        if (word.literal or "").startswith("-") or not script.is_tame(word):
            yield line, f"{program} gets the option {word.raw}", f"use {program} without it"
        if program in ("seq", "sleep") and not re.fullmatch(r"[\d.]{1,6}", word.literal or ""):
            yield line, f"{program} gets {word.raw}", "write a number"
        if program == "date" and not word.lead.startswith("+"):
            yield line, f"date gets {word.raw}, which sets the clock", "date -u +%H:%M"
        if program == "jq" and (word.literal is None or _JQ_UNSAFE.search(word.literal)):
            yield line, "jq runs a filter that reads more than its input", "write it in quotes"
    for index, word in enumerate(files):
        if not is_known_file(word) or index >= takes.files:
            hint = 'pipe the text in, or use nvsx\'s own files, such as "$NVSX_IMPACT_FILE"'
            yield line, f"{program} names a file outside the project: {word.raw}", hint


def _without_jq_variables(words: Sequence[Word]) -> Iterator[Word]:
    index = 0
    while index < len(words):
        if words[index].literal in ("--arg", "--argjson") and index + 2 < len(words):
            index += 3
            continue
        yield words[index]
        index += 1


def _kubectl(words: Sequence[Word], line: int, script: Script) -> Iterator[Said]:
    rest, names = list(words), list[Word]()
    while rest:
        word = rest.pop(0)
        head = word.lead
        if not head.startswith("-"):
            names.append(word)
            continue
        option, value = head, ""
        if word.literal in _KUBE_VALUED:
            value = (rest.pop(0).lead or "x") if rest else ""
        elif match := _KUBE_ALONE.fullmatch(head + ("" if word.literal is not None else "x")):
            value = match["value"] or ""
        else:
            said = f"kubectl {word.raw} reaches beyond this run's cluster or reads a file"
            yield line, said, ""
            continue
        if re.match(r"-o|--output", option) and not _KUBE_OUTPUT.fullmatch(value):
            yield line, f"kubectl prints in the form {value or '?'}", "-o json, name, jsonpath=…"
    yield from _kubectl_reads(names, line, script)


def _kubectl_reads(names: Sequence[Word], line: int, script: Script) -> Iterator[Said]:
    """What `kubectl` does with these words, its options left out."""
    verb = names[0].literal if names else ""
    if verb not in _READS:
        yield (
            line,
            f"kubectl {names[0].raw if names else ''} is not a plain read",
            "kubectl get, describe or logs",
        )
        return
    for name in names[1:]:
        if not script.is_tame(name):
            yield line, f"kubectl gets {name.raw}, which may be an option", "name it plainly"
    if verb in ("get", "describe", "explain", "top") and len(names) > 1:
        kind = names[1].literal
        if kind is None or not _KIND.fullmatch(kind):
            yield (
                line,
                f"kubectl {verb} {names[1].raw} does not say plainly what it reads",
                "name it",
            )
        elif any(re.search(r"(?:^|,)secrets?\b", n.literal or "") for n in names[1:]):
            yield line, "kubectl reads secrets", "a hook has no use for them"
        elif "/" in kind and any(name.literal is None for name in names[2:]):
            yield line, f"kubectl {verb} reads more than {kind}", "one kubectl for each"


def _curl(words: Sequence[Word], line: int, script: Script) -> Iterator[Said]:
    rest, targets = list(words), list[Word]()
    while rest:
        word = rest.pop(0)
        text = word.literal
        option = text or ""
        if bundled := _CURL_BUNDLED.fullmatch(option):
            option = f"-{bundled[1]}"
        if option in _CURL_VALUED and rest:
            yield from _curl_value(option, rest.pop(0), line)
        elif rest and (text, rest[0].literal) in _CURL_PAIRS:
            rest.pop(0)
        elif _CURL_ALONE.fullmatch(option):
            continue
        elif word.lead.startswith("-"):
            yield line, f"curl {word.raw} uses a file, a proxy or another host", ""
        else:
            targets.append(word)
    if len(targets) != 1:
        yield line, "curl gets not exactly one address", "one request, one address"
    literal = [t for t in targets if t.lead]
    for target in targets:
        yield from _address(target, line, script)
    sent = sorted({n for w in words if w not in targets for n in w.names if is_secret_name(n)})
    if sent and literal:
        yield (
            line,
            f"sends the value of ${sent[0]} to an address of the page",
            "only to one in a variable",
        )
    inside = sorted({n for t in literal for n in t.names if is_secret_name(n)})
    if inside:
        yield line, f"says the value of ${inside[0]} in an address", "the library uses it by itself"


def _curl_value(option: str, value: Word, line: int) -> Iterator[Said]:
    if option in ("-X", "--request"):
        if not _METHOD.fullmatch(value.literal or ""):
            yield line, f"curl sends {value.raw}", "GET or POST"
    elif option in ("-d", "--data", "--json", "-H", "--header") and (
        not value.lead or value.lead.startswith("@")
    ):
        yield (
            line,
            f"curl {option} {value.raw} may read a file",
            "begin it with text, or use --data-raw",
        )
    elif option in ("-m", "--max-time") and value.literal is None:
        yield line, f"curl waits {value.raw}", "write a number"


def _address(target: Word, line: int, script: Script) -> Iterator[Said]:
    """A literal address of the page, or one that the operator keeps in a variable."""
    first = target.parts[0] if target.parts else None
    if first is not None and first.kind == "variable":
        name = first.text
        following = target.parts[1].text if len(target.parts) > 1 else ""
        put = name in script.own or first.operand not in ("", ":-", "-")
        if (
            put
            or name.startswith("NVSX_")
            or not name[0].isalpha()
            or (len(target.parts) > 1 and not following.startswith(("/", "?")))
        ):
            yield (
                line,
                f"curl gets an address put together in the script: {target.raw}",
                "write it plainly",
            )
        return
    match = _URL.fullmatch(target.lead)
    if match is None or (target.literal is None and not match["rest"]):
        yield (
            line,
            f"curl gets an address put together in the script, or none of a page: {target.raw}",
            "write it plainly",
        )
    elif script.hosts is not None and match[1].casefold() not in script.hosts:
        yield (
            line,
            f"curl reaches {match[1]}, which the page does not name",
            "use an address of the page, or a variable",
        )
