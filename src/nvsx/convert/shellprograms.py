# ruff: noqa: E501 - patterns stay in one piece
"""The programs a converted hook may call, and with which arguments.

Each has a list of what it may be given; an option that is not on it is refused, since most
programs have one that reads a file, writes one or starts another program. Text comes in
through pipes, files only from nvsx's own variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nvsx.core.masking import is_secret_name
from nvsx.lint.findings import Severity
from nvsx.lint.shell_script import ShellWord


class Objection(NamedTuple):
    """Why shell is refused (`error`), or what a person has to judge (`warning`)."""

    line: int
    message: str
    hint: str = ""
    severity: Severity = "error"


def mark(line: int, message: str) -> Objection:
    """What cannot be judged by reading: it stays, and a person is told."""
    return Objection(line, message, "read what it does before you accept the hook", "warning")


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
    "mktemp": _Takes(r"-[dt]|--directory", words=1),
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
PROGRAMS = frozenset(_TAKES) | {"kubectl", "curl"}
#: Small languages: what a text in them must not have, and what is good without a look.
_LANGUAGES = {
    "sed": (
        r"(?:^|[;\d$/!]|\})\s*[rRwWe]\b|/\w*[ew]\w*(?:$|;)",
        r"\$?\d*(?:,\$?\d*)?[pd]|s([|/#,]).*\1.*\1[gip0-9]*",
    ),
    "awk": (r"system|getline|\||>|ENVIRON|ARGV|@", r".*"),
    "python3": (
        r"\b(?:os|subprocess|socket|urllib|http|requests|ctypes|pathlib|shutil|importlib)\b|open\(|exec|eval|__|environ",
        r"(?!)",
    ),
}


@dataclass(frozen=True, slots=True)
class HookScript:
    """What the rules need to know of the script around a command: which variables are its
    own, which words can be no option whatever is in them, and the page's hosts."""

    own: Mapping[str, Sequence[ShellWord | None]]
    is_tame: Callable[[ShellWord], bool]
    hosts: Collection[str] | None
    arrays: Sequence[tuple[str, tuple[ShellWord, ...]]]

    def spread(self, word: ShellWord) -> Sequence[ShellWord]:
        """The words of `"${array[@]}"`, where it is assigned once; else the word itself."""
        name = re.fullmatch(r"\"\$\{(\w+)\[@\]\}\"", word.raw)
        found = [items for known, items in self.arrays if name and known == name[1]]
        exact = len(found) == 1 and all(item.is_exact for item in found[0])
        return found[0] if exact else [word]

    def is_known_file(self, word: ShellWord) -> bool:
        """Whether a word names one of nvsx's own files, one directly in the artifact folder,
        one that `mktemp` made, or what a command prints, as `<(…)`."""
        made = word.raw.startswith("<(") and len(word.parts) == 1
        return made or self._is_temporary(word) or _FILE.fullmatch(word.raw) is not None

    def may_write(self, operator: str, word: ShellWord) -> bool:
        """Whether a redirection writes only to the artifact folder, or adds to the report."""
        kept = "NVSX_REPORT_FILE" in word.raw and operator == ">>"
        known = self.is_known_file(word) and (kept or "NVSX_ARTIFACT_DIR" in word.raw)
        return known or self._is_temporary(word)

    def _is_temporary(self, word: ShellWord) -> bool:
        if len(word.parts) != 1 or word.parts[0].kind != "variable" or word.parts[0].operand:
            return False
        values = self.own.get(word.parts[0].text, ())
        made = [v is not None and _TEMPORARY.fullmatch(v.raw) is not None for v in values]
        return bool(made) and all(made)


def check_arguments(
    program: str, words: Sequence[ShellWord], line: int, script: HookScript
) -> Iterator[Objection]:
    """What these arguments do that a hook may not."""
    for word in words:
        if not word.is_exact:
            yield Objection(
                line, f"{program} gets {word.raw}, which the shell may split or expand", "quote it"
            )
            return
    words = [word for w in words for word in script.spread(w)]
    if program == "kubectl":
        yield from _check_kubectl(words, line, script)
    elif program == "curl":
        yield from _check_curl(words, line, script)
    else:
        yield from _check_plain(program, words, line, script)


def _check_plain(
    program: str, words: Sequence[ShellWord], line: int, script: HookScript
) -> Iterator[Objection]:
    takes, rest, taken = _TAKES[program], list(words), list[ShellWord]()
    if program == "jq":
        rest = list(_drop_jq_variables(rest))
    while rest:
        word = rest.pop(0)
        text = word.literal
        if text is not None and text in takes.valued and rest:
            rest.pop(0)
        elif text not in ("-", "--") and not re.fullmatch(takes.alone, text or "word"):
            taken.append(word)
    if program in _LANGUAGES and not taken:
        yield Objection(line, f"{program} runs what it reads", f"{program} with a text in quotes")
    plain, files = taken[: takes.words], taken[takes.words :]
    for word in plain:
        if (word.literal or "").startswith("-") or not script.is_tame(word):
            yield Objection(
                line, f"{program} gets the option {word.raw}", f"use {program} without it"
            )
        if program in _LANGUAGES:
            yield from _check_language(program, word, line)
        if program in ("seq", "sleep") and not re.fullmatch(r"[\d.]{1,6}", word.literal or ""):
            yield Objection(line, f"{program} gets {word.raw}", "write a number")
        if program == "date" and not word.lead.startswith("+"):
            yield Objection(line, f"date gets {word.raw}, which sets the clock", "date -u +%H:%M")
        if program == "jq" and (word.literal is None or _JQ_UNSAFE.search(word.literal)):
            yield Objection(
                line, "jq runs a filter that reads more than its input", "write it in quotes"
            )
    for index, word in enumerate(files):
        if not script.is_known_file(word) or index >= takes.files:
            hint = 'pipe the text in, or use nvsx\'s own files, such as "$NVSX_IMPACT_FILE"'
            yield Objection(line, f"{program} names a file outside the project: {word.raw}", hint)


def _check_language(program: str, word: ShellWord, line: int) -> Iterator[Objection]:
    """A text in another language: refused, marked, or plain enough."""
    bad, good = _LANGUAGES[program]
    text = word.literal
    if text is None or re.search(bad, text):
        message = f"{program} runs a text that may read files, write them or start programs"
        yield Objection(line, message, "write it in single quotes, and only over its input")
    elif not re.fullmatch(good, text, re.DOTALL):
        yield mark(line, f"{program} runs a text of its own")


def _drop_jq_variables(words: Sequence[ShellWord]) -> Iterator[ShellWord]:
    index = 0
    while index < len(words):
        if words[index].literal in ("--arg", "--argjson") and index + 2 < len(words):
            index += 3
            continue
        yield words[index]
        index += 1


def _check_kubectl(
    words: Sequence[ShellWord], line: int, script: HookScript
) -> Iterator[Objection]:
    rest, names = list(words), list[ShellWord]()
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
            yield Objection(line, said)
            continue
        if re.match(r"-o|--output", option) and not _KUBE_OUTPUT.fullmatch(value):
            yield Objection(
                line, f"kubectl prints in the form {value or '?'}", "-o json, name, jsonpath=…"
            )
    yield from _check_kubectl_reads(names, line, script)


def _check_kubectl_reads(
    names: Sequence[ShellWord], line: int, script: HookScript
) -> Iterator[Objection]:
    """What `kubectl` does with these words, its options left out."""
    verb = names[0].literal if names else ""
    if verb not in _READS:
        yield Objection(
            line,
            f"kubectl {names[0].raw if names else ''} is not a plain read",
            "kubectl get, describe or logs",
        )
        return
    for name in names[1:]:
        if not script.is_tame(name):
            yield Objection(
                line, f"kubectl gets {name.raw}, which may be an option", "name it plainly"
            )
    if verb in ("get", "describe", "explain", "top") and len(names) > 1:
        kind = names[1].literal
        if kind is None or not _KIND.fullmatch(kind):
            yield Objection(
                line, f"kubectl {verb} {names[1].raw} does not say plainly what it reads", "name it"
            )
        elif any(re.search(r"(?:^|,)secrets?\b", n.literal or "") for n in names[1:]):
            yield Objection(line, "kubectl reads secrets", "a hook has no use for them")
        elif "/" in kind and any(name.literal is None for name in names[2:]):
            yield Objection(line, f"kubectl {verb} reads more than {kind}", "one kubectl for each")


def _check_curl(words: Sequence[ShellWord], line: int, script: HookScript) -> Iterator[Objection]:
    rest, targets = list(words), list[ShellWord]()
    while rest:
        word = rest.pop(0)
        text = word.literal
        option = text or ""
        if bundled := _CURL_BUNDLED.fullmatch(option):
            option = f"-{bundled[1]}"
        if option in _CURL_VALUED and rest:
            yield from _check_curl_value(option, rest.pop(0), line)
        elif rest and (text, rest[0].literal) in _CURL_PAIRS:
            rest.pop(0)
        elif _CURL_ALONE.fullmatch(option):
            continue
        elif word.lead.startswith("-"):
            yield Objection(line, f"curl {word.raw} uses a file, a proxy or another host")
        else:
            targets.append(word)
    if len(targets) != 1:
        yield Objection(line, "curl gets not exactly one address", "one request, one address")
    literal = [t for t in targets if t.lead]
    for target in targets:
        yield from _check_address(target, line, script)
    sent = sorted({n for w in words if w not in targets for n in w.names if is_secret_name(n)})
    if sent and literal:
        yield Objection(
            line,
            f"sends the value of ${sent[0]} to an address of the page",
            "only to one in a variable",
        )
    inside = sorted({n for t in literal for n in t.names if is_secret_name(n)})
    if inside:
        yield Objection(
            line, f"says the value of ${inside[0]} in an address", "the library uses it by itself"
        )


def _check_curl_value(option: str, value: ShellWord, line: int) -> Iterator[Objection]:
    if option in ("-X", "--request"):
        if not _METHOD.fullmatch(value.literal or ""):
            yield Objection(line, f"curl sends {value.raw}", "GET or POST")
    elif option in ("-d", "--data", "--json", "-H", "--header") and (
        not value.lead or value.lead.startswith("@")
    ):
        yield Objection(
            line,
            f"curl {option} {value.raw} may read a file",
            "begin it with text, or use --data-raw",
        )
    elif option in ("-m", "--max-time") and value.literal is None:
        yield Objection(line, f"curl waits {value.raw}", "write a number")


def _check_address(target: ShellWord, line: int, script: HookScript) -> Iterator[Objection]:
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
            yield Objection(
                line,
                f"curl gets an address put together in the script: {target.raw}",
                "write it plainly",
            )
        return
    match = _URL.fullmatch(target.lead)
    if match is None or (target.literal is None and not match["rest"]):
        yield Objection(
            line,
            f"curl gets an address put together in the script, or none of a page: {target.raw}",
            "write it plainly",
        )
    elif script.hosts is not None and match[1].casefold() not in script.hosts:
        yield Objection(
            line,
            f"curl reaches {match[1]}, which the page does not name",
            "use an address of the page, or a variable",
        )
