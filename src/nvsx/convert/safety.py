# ruff: noqa: E501 - lists of names stay in one piece
"""What shell that a model wrote may not do, whatever the page asked for.

Refused is what is surely bad: cluster writes, shells over what nobody read, files outside the
project, secrets that leave, foreign hosts, changes to what nvsx's own tools go by. What cannot be
judged is marked, and ordinary shell is accepted; `shellprograms` knows the arguments of the usual
programs. A person accepts the script as well; this refuses what no person should have to find.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from nvsx.convert import shellprograms
from nvsx.convert.page_patterns import URL
from nvsx.convert.shellprograms import Objection, mark
from nvsx.core.errors import Problem
from nvsx.core.masking import is_secret_name
from nvsx.lint import kube_writes
from nvsx.lint.bash_tree import read_script
from nvsx.lint.findings import Finding
from nvsx.lint.shell_script import BashScript, ShellCommand, ShellWord, WordPart

#: Functions of the packaged notification library.
LIBRARY = frozenset(
    "mark node_name headline human_ms since_fault elapsed impact bounded node_value handed_to_people "
    "cordon_left fault_seen fault_quarantined fault_progress overdue_told people_needed failure_told "
    "fault_over channels json_string clip one_line slack_escape url_encode notify_result incident_key "
    "slack_post page page_over jira_ticket jira_comment".split()
)
#: Programs that are refused wherever they stand: what they run, reach or change cannot be read.
_REFUSED = frozenset(
    "sh bash dash ksh zsh ash fish eval exec builtin env xargs sudo su doas ssh scp sftp rsync nc ncat netcat socat telnet "
    "wget ftp perl ruby node php lua find chmod chown kill pkill killall reboot shutdown poweroff halt mount dd mv cp ln install "
    "crontab at nohup setsid disown coproc fg bg alias unalias shopt enable hash compgen complete printenv ulimit umask times "
    "pushd popd let history fc logout suspend nsenter chroot docker podman crictl ctr helm oc systemctl init bind caller type".split()
)
_SPEAKING = (LIBRARY - {"bounded"}) | {"echo"}
_SIMPLE = frozenset("true false : exit return break continue shift wait cd".split())
_TESTS = frozenset({"[", "[[", "test"})
_DECLARING = frozenset({"local", "readonly", "declare", "typeset", "export"})
_INTERPRETERS = ("#!/usr/bin/env bash", "#!/bin/bash", "#!/usr/bin/bash")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
#: Variables that bash, nvsx, the library, kubectl, curl or a program's loader go by.
_PROTECTED = re.compile(
    r"(?:NVSX|BASH|LD|DYLD|SHELL|KUBE|CURL|SSL|SSH|GIT|PYTHON|PERL|JQ|XDG|LC|SLACK|PAGERDUTY|JIRA|HTTPS?|AWS)(?:_.*|[A-Z]+|)"
    r"|KUBECTL.*|KUBECONFIG|PATH|HOME|IFS|ENV|PS\d|PROMPT_.*|CDPATH|GLOB.*|TMPDIR|.*_(?i:proxy)|histchars|auto_resume|EXECIGNORE|POSIX.*|FUNC.*|OPT.*|LANG|TZ|PWD|OLDPWD|_.*"
)
_FOR_ONE = frozenset({"IFS", "LC_ALL", "LANG", "TZ"})
_SOURCED = re.compile(
    r"\"\$\(dirname \"\$\{BASH_SOURCE\[0\]\}\"\)/\.\./lib/(?:incident|notify|jira)\.sh\""
)
_COMPUTES = frozenset("-eq -ne -lt -le -gt -ge".split())
#: Facts of nvsx that hold none but `[A-Za-z0-9._:/-]`, and begin with no hyphen.
_TAME = frozenset(
    "NVSX_TARGET_NODE NVSX_TARGET_ALIAS NVSX_STAGE NVSX_RUNBOOK NVSX_RUN_ID NVSX_FAILED_STAGE BASH_SOURCE".split()
)
#: Variables that always hold a number: bash evaluates what an expression's names hold.
_NUMBERS = re.compile(
    r"NVSX_(?:(?:ELAPSED|INCIDENT|MTTR)_MS|ATTEMPT|STORM_SIZE)|RANDOM|SECONDS|LINENO|[#?]"
)
_COUNTED = re.compile(r"\"?\$\((?:date \+%s|[^()$`]*\|\s*wc -l)\)\"?")
#: Expansions that assign, look a name up in a variable, or evaluate what one holds.
_INDIRECT = re.compile(r"!(?!\[@\]$)|.*\$\{!|.*@[A-Za-z]\}?$|.*\$\{\w+:?=", re.DOTALL)
_PRIVATE = re.compile(r"(?:~|/(?:etc|root|home|proc|sys|dev|var/run))(?:/|$)")
_MOST_NESTING = 5
_PLAINLY = "write it plainly, one command a line, text in quotes"


def hosts_in(text: str) -> frozenset[str]:
    """The hosts of all addresses in a text."""
    return frozenset(host for url in _urls(text) if (host := _host(url)))


def _urls(text: str) -> list[str]:
    return re.findall(URL.pattern, text, re.IGNORECASE)


def _host(url: str) -> str:
    match = re.match(r"\w+://(?:[^/@\s]*@)?([^/\s:?#\"'`<>)\]\\]+)", url)
    return match[1].casefold().rstrip(".,;") if match else ""


def examine(file: str, text: str, hosts: Collection[str] | None, runbook: str) -> list[Finding]:
    """Everything a hook does that it may not (errors), or that a person must judge (warnings).
    `hosts` are the hosts the page names; None when they were checked already.

    `kubectl cordon n` and `curl … | sh` are errors, `ipmitool sel list` is a warning, and a
    function with `case`, arrays and `jq` is nothing.
    """
    found = [
        Finding(said.severity, "unsafe-hook" if said.severity == "error" else "unjudged-hook",
                Problem(said.message, file, said.line, hint=said.hint), runbook)
        for said in _find_objections(text, hosts)
    ]  # fmt: skip
    return list(dict.fromkeys(found))


def _find_objections(text: str, hosts: Collection[str] | None) -> Iterator[Objection]:
    if text.split("\n", 1)[0] not in _INTERPRETERS:
        yield Objection(1, "does not begin with #!/usr/bin/env bash", "begin it so")
    for write in kube_writes.find_writes(text):
        message = f"`{write.command}` writes to the cluster"
        yield Objection(write.line, message, "NVSentinel does that")
    for number, line in enumerate(text.split("\n"), 1):
        for host in (_host(url) for url in _urls(line)):
            if hosts is not None and host and "$" not in host and host not in hosts:
                message = f"names the host {host}, which the page does not"
                yield Objection(number, message, "use an address of the page, or a variable")
    yield from _HookJudge(_read_whole(text), hosts).judge()


def _read_whole(text: str) -> BashScript:
    """A script with what its traps run."""
    whole, waiting = read_script(text), [*read_script(text).commands]
    for _ in range(_MOST_NESTING):
        trapped = [c for c in waiting if c.program == "trap" and len(c.words) > 1]
        waiting = []
        for command in trapped:
            inner = read_script(command.words[1].literal or "", command.line)
            waiting += inner.commands
            whole.add(inner)
    return whole


class _HookJudge:
    def __init__(self, script: BashScript, hosts: Collection[str] | None) -> None:
        self.script = script
        self.values: dict[str, list[ShellWord | None]] = {}  # None: whatever was read
        for command in script.commands:
            for name, value in command.assigned:
                self.values.setdefault(name, []).append(value)
            if command.program in ("read", "mapfile", "readarray"):
                for word in command.words[1:]:
                    self.values.setdefault(word.raw, []).append(None)
        for name, words in script.loops:
            self.values.setdefault(name, []).extend(words or [None])
        self.runners = {
            c.function for c in script.commands if c.function and c.program in ('"$@"', '"${@}"')
        }
        self.known = shellprograms.HookScript(self.values, self.is_tame, hosts, script.arrays)

    def judge(self) -> Iterator[Objection]:
        for line, what in self.script.unread:
            yield Objection(line, what, _PLAINLY)
        for name, (line, reach) in self.script.functions.items():
            yield from self._check_function(name, line, reach)
        for word in self.script.words:
            for part in word.parts:
                if part.kind == "variable" and _INDIRECT.match(part.operand):
                    yield Objection(
                        word.line,
                        f"has an expansion that cannot be read off the script: {word.raw}",
                        _PLAINLY,
                    )
                elif part.kind == "variable" and part.operand.startswith(("=", ":=")):
                    yield from self._check_assigned(part.text, word.line)
        for name, values in self.script.loops:
            yield from self._check_assigned(name, values[0].line if values else 1)
            yield from self._check_secrets(values, values[0].line if values else 1)
        for operands in self.script.computed:
            yield from (
                found
                for part in operands.parts
                for found in self._check_number(part, operands.line)
            )
        for command in self.script.commands:
            yield from self._check_command(command)

    def is_tame(self, word: ShellWord, depth: int = 0) -> bool:
        """Whether a word can be no option and no file reference, whatever is in its variables."""
        first = word.parts[0] if word.parts else WordPart("text", "")
        if first.kind in ("text", "number"):
            return not first.text.startswith(("-", "@"))
        dashed = first.operand.lstrip(":-+").startswith(("-", "@"))
        if first.kind != "variable" or depth > _MOST_NESTING or dashed:
            return False
        if first.text in _TAME:
            return True
        values = self.values.get(first.text, [None])
        return all(v is not None and self.is_tame(v, depth + 1) for v in values)

    def _check_command(self, command: ShellCommand) -> Iterator[Objection]:
        line, words, program = command.line, command.words, command.program
        for name, _ in command.assigned:
            if not (words and name in _FOR_ONE and program not in _DECLARING):
                yield from self._check_assigned(name, line)
        if (
            command.assigned
            and words
            and program not in _DECLARING
            and command.assigned[0][0] not in _FOR_ONE
        ):
            message = f"sets {command.assigned[0][0]} only for {program}"
            yield Objection(line, message, "set it on its own line")
        for operator, target in command.redirects:
            yield from self._check_redirect(operator, target)
        if program not in _TESTS and program != "curl":
            said = [*words[1:], *command.said, *(value for _, value in command.assigned)]
            yield from self._check_secrets(said, line)
        if words:
            yield from self._check_program(words, line, command.function)

    def _check_secrets(self, words: Iterable[ShellWord], line: int) -> Iterator[Objection]:
        secrets = (n for word in words for n in word.names if is_secret_name(n))
        for name in dict.fromkeys(secrets):
            yield Objection(line, f"says the value of ${name}", "the library uses it by itself")

    @staticmethod
    def _check_assigned(name: str, line: int) -> Iterator[Objection]:
        if (
            not _NAME.fullmatch(name)
            or _PROTECTED.fullmatch(name)
            or is_secret_name(name)
            or name in shellprograms.PROGRAMS
        ):
            yield Objection(line, f"changes {name}", "give variables of your own lower-case names")

    @staticmethod
    def _check_function(name: str, line: int, reach: str) -> Iterator[Objection]:
        taken = (
            LIBRARY | shellprograms.PROGRAMS | _REFUSED | _SPEAKING | _SIMPLE | _TESTS | _DECLARING
        )
        if name in taken | {
            "printf",
            "set",
            "source",
            "command",
            "unset",
            "trap",
            "read",
            "time",
            "timeout",
        }:
            yield Objection(line, f"changes what {name} does", "give functions names of your own")
        elif reach != "always":
            yield mark(line, f"defines {name} only on some paths")

    def _check_redirect(self, operator: str, target: ShellWord) -> Iterator[Objection]:
        if operator in (">&", "<&") and target.literal in ("0", "1", "2"):
            return
        good = target.literal in ("/dev/null", "/dev/stderr", "/dev/stdout")
        good = good or (operator == "<" and self.known.is_known_file(target))
        if not good and not self.known.may_write(operator, target):
            what = "reaches what cannot be read off the script"
            reached = re.search(r"/dev/(?:tcp|udp)/", target.raw)
            message = what if reached else f"reads or writes the file {target.raw}"
            yield Objection(target.line, message, 'use "$NVSX_ARTIFACT_DIR/NAME"')

    def _check_program(
        self, words: Sequence[ShellWord], line: int, function: str
    ) -> Iterator[Objection]:
        words = [word for w in words for word in self.known.spread(w)]
        program, rest = words[0].literal or "", words[1:]
        check = {
            **dict.fromkeys(_TESTS, self._check_test),
            **dict.fromkeys(("read", "mapfile", "readarray"), self._check_read),
            **dict.fromkeys(("source", "."), self._check_source),
            **dict.fromkeys(("bounded", "timeout", "time", *self.runners), self._check_wrapper),
            **dict.fromkeys(_DECLARING | {"unset"}, self._check_declared),
            "set": self._check_set,
            "trap": self._check_trap,
        }.get(program)  # fmt: skip
        if words[0].raw in ('"$@"', '"${@}"') and function:
            return  # every call of that function is judged by what it is given
        if (
            not program
            or not words[0].is_exact
            or "/" in program
            or (words[0].raw != program and program != "[")
        ):
            message = f"runs {words[0].raw}, which cannot be read off the script"
            yield Objection(line, message, "call programs by their plain names")
        elif check:
            yield from check(rest, line, program)
        elif program == "command":
            if len(rest) != 2 or rest[0].raw != "-v":
                yield Objection(line, "runs a program through `command`", "call it directly")
        elif program == "printf":
            if not rest or rest[0].lead.startswith("-") or not rest[0].lead:
                yield Objection(line, "printf begins with no plain format", "printf '%s\\n' …")
        elif program in shellprograms.PROGRAMS:
            yield from shellprograms.check_arguments(program, rest, line, self.known)
        elif program in _REFUSED or re.match(r"_|kubectl-|.*\.sh$", program):
            message = f"runs {program}, which a converted hook has no use for"
            yield Objection(line, message, "show the command to people with echo instead")
        elif program not in _SPEAKING | _SIMPLE | self.script.functions.keys():
            if any(_PRIVATE.match(word.shown) for word in rest):
                yield Objection(line, f"{program} names a file outside the project", _PLAINLY)
            yield mark(line, f"runs {program}, which nvsx does not know")

    def _check_wrapper(
        self, rest: Sequence[ShellWord], line: int, program: str
    ) -> Iterator[Objection]:
        """`bounded 5`, `timeout 5s`, `time`, or a function of the script that runs its words."""
        limited = program in ("bounded", "timeout")
        if limited and (len(rest) < 2 or not re.fullmatch(r"\d{1,3}s?", rest[0].raw)):
            yield Objection(line, f"{program} gets no number of seconds", "bounded 5 kubectl get …")
            return
        while rest and (limited or program in self.runners) and re.fullmatch(r"\d+s?", rest[0].raw):
            rest = rest[1:]
        if rest:
            yield from self._check_program(rest, line, "")

    @staticmethod
    def _check_source(rest: Sequence[ShellWord], line: int, _: str) -> Iterator[Objection]:
        if len(rest) != 1 or not _SOURCED.fullmatch(rest[0].raw):
            message = f"sources {' '.join(w.raw for w in rest)}"
            yield Objection(line, message, "source only ../lib/incident.sh")

    @staticmethod
    def _check_set(rest: Sequence[ShellWord], line: int, _: str) -> Iterator[Objection]:
        if not re.fullmatch(r"-[eu]*(?:o pipefail)?", " ".join(w.raw for w in rest)):
            message = "changes how bash runs with set"
            yield Objection(line, message, "only `set -euo pipefail`")

    @staticmethod
    def _check_trap(rest: Sequence[ShellWord], line: int, _: str) -> Iterator[Objection]:
        if not rest or rest[0].literal is None:
            yield Objection(line, "has a trap that cannot be read off the script", "trap '…' EXIT")

    def _check_declared(
        self, rest: Sequence[ShellWord], line: int, program: str
    ) -> Iterator[Objection]:
        options = [w.raw for w in rest if w.lead.startswith("-")]
        names = [w for w in rest if not w.lead.startswith("-")]
        if not names or not set(options) <= {"-r", "-a", "-A", "-ar"}:
            message = f"{program} {' '.join(options)} prints, links or evaluates variables"
            yield Objection(line, message, "local name=value")
        for word in names:
            yield from self._check_assigned(word.lead.partition("=")[0], line)
            if program == "export":
                yield mark(line, f"hands {word.raw} to every program")

    def _check_test(
        self, rest: Sequence[ShellWord], line: int, program: str
    ) -> Iterator[Objection]:
        """Tests that evaluate what a variable holds: as a subscript, or as an expression."""
        for index, word in enumerate(rest):
            after = rest[index + 1 : index + 2]
            if word.literal in ("-v", "-R") and not (
                after and _NAME.fullmatch(after[0].literal or "")
            ):
                hint = 'use [ … ] with "$NAME" for numbers, and -n for what is set'
                yield Objection(line, f"{program} evaluates what a variable holds", hint)
            if word.literal in _COMPUTES and program == "[[":
                for part in (p for w in (rest[index - 1], *after) for p in w.parts):
                    yield from self._check_number(part, line)

    def _check_number(self, part: WordPart, line: int, depth: int = 0) -> Iterator[Objection]:
        """Bash evaluates what stands in arithmetic, `a[$(…)]` too, so it must be a number."""
        plain = part.kind == "text" and _NAME.fullmatch(part.text)
        name = part.text if plain or part.kind == "variable" else ""
        values = self.values.get(name)
        if part.kind == "number" or (part.kind == "text" and re.fullmatch(r"[-+]?\d*", part.text)):
            return
        if part.kind == "output" or name.isdecimal() or (values and None in values):
            if not _COUNTED.fullmatch(part.text):
                yield mark(line, f"computes with {part.text}, which may hold more than a number")
        elif name and (_NUMBERS.fullmatch(name) or depth > _MOST_NESTING):
            return
        elif values:
            for inner in (p for value in values if value for p in value.parts):
                yield from self._check_number(inner, line, depth + 1)
        elif not name or not any(
            re.search(rf"\b{name}\s*=[^=]", c.raw) for c in self.script.computed
        ):
            hint = 'use [ … ] with "$NAME" for numbers'
            yield Objection(line, f"computes with {part.text}, which may hold a command", hint)

    def _check_read(
        self, rest: Sequence[ShellWord], line: int, program: str
    ) -> Iterator[Objection]:
        names = [w.raw for w in rest if w.raw not in ("-r", "-t", "-a")]
        if not names:
            yield Objection(line, f"{program} reads into no variable", "read -r name")
        for name in names:
            yield from self._check_assigned(name, line)
