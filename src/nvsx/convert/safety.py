# ruff: noqa: E501 - lists of names stay in one piece
"""What shell that a model wrote may not do, whatever the page asked for.

An allow-list on top of a reader that refuses what it does not know (`plainshell`): hooks say
things and use the notification library; the few programs that read and format are in
`shellprograms`. A person accepts the script as well; this refuses what no person should have
to find by reading.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from nvsx.convert import plainshell, shellprograms
from nvsx.convert.page_patterns import URL
from nvsx.convert.plainshell import Part, Simple, Word
from nvsx.convert.shellprograms import Said
from nvsx.core.errors import Problem
from nvsx.core.masking import is_secret_name
from nvsx.lint import kube_writes
from nvsx.lint.findings import Finding

#: Functions of the packaged notification library.
LIBRARY = frozenset(
    "mark node_name headline human_ms since_fault elapsed impact bounded node_value handed_to_people "
    "cordon_left fault_seen fault_quarantined fault_progress overdue_told people_needed failure_told "
    "fault_over channels json_string clip one_line slack_escape url_encode notify_result incident_key "
    "slack_post page page_over jira_ticket jira_comment".split()
)
_SPEAKING = (LIBRARY - {"bounded"}) | {"echo"}
_SIMPLE = frozenset("true false : exit return break continue shift".split())
_TESTS = frozenset({"[", "[[", "test"})
_INTERPRETERS = ("#!/usr/bin/env bash", "#!/bin/bash", "#!/usr/bin/bash")
_OWN_NAME = re.compile(r"[a-z][a-z0-9_]*|TITLE|NODE|REPAIR")
_NOT_OWN = re.compile(r".*_proxy|histchars|auto_resume")
_SOURCED = re.compile(
    r"\"\$\(dirname \"\$\{BASH_SOURCE\[0\]\}\"\)/\.\./lib/(?:incident|notify|jira)\.sh\""
)
_COMPUTES = frozenset("-eq -ne -lt -le -gt -ge".split())
#: Facts of nvsx that hold none but `[A-Za-z0-9._:/-]`, and begin with no hyphen.
_TAME = frozenset(
    "NVSX_TARGET_NODE NVSX_TARGET_ALIAS NVSX_STAGE NVSX_RUNBOOK NVSX_RUN_ID NVSX_FAILED_STAGE BASH_SOURCE".split()
)
_PLAINLY = "write it plainly: echo, the library, if, for, while, [[ ]], $(…) and pipes"


def hosts_in(text: str) -> frozenset[str]:
    """The hosts of all addresses in a text."""
    return frozenset(host for url in _urls(text) if (host := _host(url)))


def _urls(text: str) -> list[str]:
    return re.findall(URL.pattern, text, re.IGNORECASE)


def _host(url: str) -> str:
    match = re.match(r"\w+://(?:[^/@\s]*@)?([^/\s:?#\"'`<>)\]\\]+)", url)
    return match[1].casefold().rstrip(".,;") if match else ""


def examine(file: str, text: str, hosts: Collection[str] | None, runbook: str) -> list[Finding]:
    """Everything a hook does that it may not. `hosts` are the hosts the page names; None
    when they were checked already."""
    found = [
        Finding("error", "unsafe-hook", Problem(message, file, line, hint=hint), runbook)
        for line, message, hint in _said(text, hosts)
    ]
    return list(dict.fromkeys(found))


def _said(text: str, hosts: Collection[str] | None) -> Iterator[Said]:
    if text.split("\n", 1)[0] not in _INTERPRETERS:
        yield 1, "does not begin with #!/usr/bin/env bash", "begin it so"
    for write in kube_writes.writes(text):
        yield write.line, f"`{write.command}` writes to the cluster", "NVSentinel does that"
    for number, line in enumerate(text.split("\n"), 1):
        for host in (_host(url) for url in _urls(line)):
            if hosts is not None and host and "$" not in host and host not in hosts:
                message = f"names the host {host}, which the page does not"
                yield number, message, "use an address of the page, or a variable"
    try:
        commands = plainshell.read(text)
    except plainshell.Strange as strange:
        yield strange.line, strange.message, _PLAINLY
        return
    judge = _Judge(commands, hosts)
    for command in commands:
        yield from judge.command(command)


class _Judge:
    def __init__(self, commands: list[Simple], hosts: Collection[str] | None) -> None:
        self.values: dict[str, list[Word | None]] = {}  # None: whatever was read
        for command in commands:
            for name, value in command.assigned:
                self.values.setdefault(name, []).append(value)
            first = command.words[0].raw if command.words else ""
            if first == "for" and len(command.words) > 1:
                self.values.setdefault(command.words[1].raw, []).extend(command.words[3:] or [None])
            if first == "read":
                for word in command.words[1:]:
                    self.values.setdefault(word.raw, []).append(None)
        self.script = shellprograms.Script(self.values, self.is_tame, hosts)

    def is_tame(self, word: Word, depth: int = 0) -> bool:
        """Whether a word can be no option and no file reference, whatever is in its variables."""
        first = word.parts[0] if word.parts else Part("text", "")
        if first.kind == "text":
            return not first.text.startswith(("-", "@"))
        if (
            first.kind != "variable"
            or depth > 5
            or first.operand.lstrip(":-+").startswith(("-", "@"))
        ):
            return False
        if first.text in _TAME:
            return True
        values = self.values.get(first.text, [None])
        return all(v is not None and self.is_tame(v, depth + 1) for v in values)

    def command(self, command: Simple) -> Iterator[Said]:
        line, words = command.line, command.words
        program = words[0].raw if words else ""
        for name, _ in command.assigned:
            yield from self._assigns(name, line)
        if command.assigned and words:
            yield (
                line,
                f"sets {command.assigned[0][0]} only for {program}",
                "set it on its own line",
            )
        for operator, target in command.redirects:
            yield from self._redirect(operator, target)
        said = [*words[1:], *command.said, *(value for _, value in command.assigned)]
        if program not in _TESTS and program != "curl":
            secrets = (n for word in said for n in word.names if is_secret_name(n))
            for name in dict.fromkeys(secrets):
                yield line, f"says the value of ${name}", "the library uses it by itself"
        if words:
            yield from self._program(program, words[1:], line)

    @staticmethod
    def _assigns(name: str, line: int) -> Iterator[Said]:
        if not _OWN_NAME.fullmatch(name) or _NOT_OWN.fullmatch(name):
            yield line, f"changes {name}", "give variables of your own lower-case names"

    @staticmethod
    def _redirect(operator: str, target: Word) -> Iterator[Said]:
        if operator in (">&", "<&"):
            good = target.literal in ("0", "1", "2")
        else:
            good = target.literal in ("/dev/null", "/dev/stderr", "/dev/stdout")
            known = operator == "<" and shellprograms.is_known_file(target)
            good = good or known or shellprograms.may_write(operator, target)
        if not good:
            what = "reaches what cannot be read off the script"
            reached = re.search(r"/dev/(?:tcp|udp)/", target.raw)
            message = what if reached else f"reads or writes the file {target.raw}"
            yield target.line, message, 'use "$NVSX_ARTIFACT_DIR/NAME"'

    def _program(self, program: str, rest: list[Word], line: int) -> Iterator[Said]:
        special = {
            **dict.fromkeys(_TESTS, self._test),
            "for": self._loop,
            "read": self._read,
            "source": self._source,
            ".": self._source,
            "bounded": self._bounded,
        }.get(program)
        if special:
            yield from special(rest, line, program)
        elif program == "set":
            if [w.raw for w in rest] != ["-euo", "pipefail"]:
                yield line, "changes how bash runs with set", "only `set -euo pipefail`"
        elif program == "command":
            if len(rest) != 2 or rest[0].raw != "-v":
                yield line, "runs a program through `command`", "call it directly"
        elif program == "printf":
            if not rest or rest[0].lead.startswith("-") or not rest[0].lead:
                yield line, "printf begins with no plain format", "printf '%s\\n' …"
        elif program in shellprograms.PROGRAMS:
            yield from shellprograms.arguments(program, rest, line, self.script)
        elif program not in _SPEAKING | _SIMPLE:
            message = f"runs {program}, which a converted hook has no use for"
            yield line, message, "show the command to people with echo instead"

    def _loop(self, rest: list[Word], line: int, _: str) -> Iterator[Said]:
        yield from self._assigns(rest[0].raw if rest else "", line)
        if len(rest) > 1 and rest[1].raw != "in":
            yield line, "is a loop that is not written `for name in …`", _PLAINLY

    @staticmethod
    def _source(rest: list[Word], line: int, _: str) -> Iterator[Said]:
        if len(rest) != 1 or not _SOURCED.fullmatch(rest[0].raw):
            yield line, f"sources {' '.join(w.raw for w in rest)}", "source only ../lib/incident.sh"

    def _bounded(self, rest: list[Word], line: int, _: str) -> Iterator[Said]:
        if len(rest) < 2 or not re.fullmatch(r"\d{1,3}", rest[0].raw):
            yield line, "bounded gets no number of seconds", "bounded 5 kubectl get …"
        elif rest[1].raw not in shellprograms.PROGRAMS:
            message = f"runs {rest[1].raw}, which a converted hook has no use for"
            yield line, message, "bounded is for kubectl and curl"
        else:
            yield from self._program(rest[1].raw, rest[2:], line)

    @staticmethod
    def _test(rest: list[Word], line: int, program: str) -> Iterator[Said]:
        """Tests that evaluate what a variable holds: as a subscript, or as an expression."""
        flags = {word.literal for word in rest}
        if "-v" in flags or "-R" in flags or (program == "[[" and flags & _COMPUTES):
            hint = 'use [ … ] with "$NAME" for numbers, and -n for what is set'
            yield line, f"{program} evaluates what a variable holds", hint

    def _read(self, rest: list[Word], line: int, _: str) -> Iterator[Said]:
        names = [w.raw for w in rest if w.raw != "-r"]
        if not names:
            yield line, "reads into no variable", "read -r name"
        for name in names:
            yield from self._assigns(name, line)
