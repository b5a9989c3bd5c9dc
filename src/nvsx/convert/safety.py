# ruff: noqa: E501 - lists of names stay in one piece
"""What shell that a model wrote may not do, whatever the page asked for.

Refused is what is surely bad: cluster writes, shells over what nobody read, files outside the
project, secrets that leave, foreign hosts, changes to what nvsx's own tools go by. What cannot be
judged is marked, and ordinary shell is accepted; `shellprograms` knows the arguments of the usual
programs. A person accepts the script as well; this refuses what no person should have to find.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from nvsx.convert import shellprograms
from nvsx.convert.page_patterns import URL
from nvsx.convert.shellprograms import Objection
from nvsx.core.errors import Problem
from nvsx.core.masking import is_secret_name
from nvsx.lint import kube_writes
from nvsx.lint.bash_tree import read_script
from nvsx.lint.findings import Finding
from nvsx.lint.shell_script import BashScript, ShellCommand, ShellWord, WordPart

#: Functions of the notification library that projects of earlier versions have a copy of.
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
_SIMPLE = frozenset("echo true false : exit return break continue shift wait cd".split())
_TESTS = frozenset({"[", "[[", "test"})
_READING = ("read", "mapfile", "readarray")
_ALL_WORDS = ('"$@"', '"${@}"')
_DECLARING = frozenset({"local", "readonly", "declare", "typeset", "export"})
_INTERPRETERS = ("#!/usr/bin/env bash", "#!/bin/bash", "#!/usr/bin/bash")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
#: Variables that bash, nvsx, the library, kubectl, curl or a program's loader go by.
_PROTECTED = re.compile(
    r"(?:NVSX|BASH|LD|DYLD|SHELL|KUBE|CURL|SSL|SSH|GIT|PYTHON|PERL|JQ|XDG|LC|SLACK|PAGERDUTY|JIRA|HTTPS?|AWS)(?:_.*|[A-Z]+|)"
    r"|KUBECTL.*|KUBECONFIG|PATH|HOME|IFS|ENV|PS\d|PROMPT_.*|CDPATH|GLOB.*|TMPDIR|.*_(?i:proxy)|histchars|auto_resume|EXECIGNORE|POSIX.*|FUNC.*|OPT.*|LANG|TZ|PWD|OLDPWD|_.*"
)
_TAKEN = (
    LIBRARY
    | shellprograms.PROGRAMS
    | _REFUSED
    | _SIMPLE
    | _TESTS
    | _DECLARING
    | frozenset("echo printf set source command unset trap read mapfile time timeout".split())
)
_FOR_ONE = frozenset({"IFS", "LC_ALL", "LANG", "TZ"})
_SOURCED = re.compile(
    r"\"\$\(dirname \"\$\{BASH_SOURCE\[0\]\}\"\)/\.\./lib/(?:incident|notify|jira)\.sh\""
)
_COMPUTES = frozenset("-eq -ne -lt -le -gt -ge".split())
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
    return frozenset(host for url in _find_urls(text) if (host := _host_of(url)))


def _find_urls(text: str) -> list[str]:
    return re.findall(URL.pattern, text, re.IGNORECASE)


def _host_of(url: str) -> str:
    match = re.match(r"\w+://(?:[^/@\s]*@)?([^/\s:?#\"'`<>)\]\\]+)", url)
    return match[1].casefold().rstrip(".,;") if match else ""


def examine(file: str, text: str, hosts: Collection[str] | None, runbook: str) -> list[Finding]:
    """Everything a hook does that it may not (errors), or that a person must judge (warnings).
    `hosts` are the hosts the page names; None when they were checked already.

    `kubectl cordon n` and `curl … | sh` are errors, `ipmitool sel list` is a warning, and a
    function with `case`, arrays and `jq` is nothing.
    """
    rules = {"error": "unsafe-hook", "warning": "unjudged-hook"}
    found = [
        Finding(o.severity, rules[o.severity], Problem(o.message, file, o.line, hint=o.hint), runbook)
        for o in [*_check_text(text, hosts), *_HookJudge(_read_whole(text), hosts).judge()]
    ]  # fmt: skip
    return list(dict.fromkeys(found))


def _check_text(text: str, hosts: Collection[str] | None) -> Iterator[Objection]:
    """What needs no look at single commands: the first line, cluster writes, hosts."""
    if text.split("\n", 1)[0] not in _INTERPRETERS:
        yield Objection(1, "does not begin with #!/usr/bin/env bash", "begin it so")
    for write in kube_writes.find_writes(text):
        message = f"`{write.command}` writes to the cluster"
        yield Objection(write.line, message, "NVSentinel does that")
    for number, line in enumerate(text.split("\n"), 1):
        for host in (_host_of(url) for url in _find_urls(line)):
            if hosts is not None and host and "$" not in host and host not in hosts:
                message = f"names the host {host}, which the page does not"
                yield Objection(number, message, "use an address of the page, or a variable")


def _read_whole(text: str) -> BashScript:
    """A script with what its traps run."""
    whole = read_script(text)
    waiting = list(whole.commands)
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
            if command.program in _READING:
                for word in command.words[1:]:
                    self.values.setdefault(word.raw, []).append(None)
        for name, words in script.loops:
            self.values.setdefault(name, []).extend(words or [None])
        self.runners = {
            c.function for c in script.commands if c.function and c.program in _ALL_WORDS
        }
        self.known = shellprograms.HookScript(self.values, script.arrays, hosts)
        self.refuse, self.mark = self.known.refuse, self.known.mark
        self.checks: dict[str, Callable[[Sequence[ShellWord], str], None]] = {
            **dict.fromkeys(_TESTS, self._check_test),
            **dict.fromkeys(_READING, self._check_read),
            **dict.fromkeys(("source", "."), self._check_source),
            **dict.fromkeys(("bounded", "timeout", "time", *self.runners), self._check_wrapper),
            **dict.fromkeys(_DECLARING | {"unset"}, self._check_declared),
            **dict.fromkeys(("set", "trap", "command", "printf"), self._check_builtin),
        }

    def judge(self) -> list[Objection]:
        for line, what in self.script.unread:
            self.known.line = line
            self.refuse(what, _PLAINLY)
        for name, (line, reach) in self.script.functions.items():
            self.known.line = line
            if name in _TAKEN:
                self.refuse(f"changes what {name} does", "give functions names of your own")
            elif reach != "always":
                self.mark(f"defines {name} only on some paths")
        for word in self.script.words:
            self._check_expansions(word)
        for name, values in self.script.loops:
            self.known.line = values[0].line if values else 1
            self._check_assigned(name)
            self._check_secrets(values)
        for operands in self.script.computed:
            self.known.line = operands.line
            for part in operands.parts:
                self._check_number(part)
        for command in self.script.commands:
            self.known.line = command.line
            self._check_command(command)
        return self.known.found

    def _check_expansions(self, word: ShellWord) -> None:
        self.known.line = word.line
        for part in (p for p in word.parts if p.kind == "variable"):
            if _INDIRECT.match(part.operand):
                what = "has an expansion that cannot be read off the script"
                self.refuse(f"{what}: {word.raw}", _PLAINLY)
            elif part.operand.startswith(("=", ":=")):
                self._check_assigned(part.text)

    def _check_command(self, command: ShellCommand) -> None:
        words, program = command.words, command.program
        for name, _ in command.assigned:
            if not words or program in _DECLARING:
                self._check_assigned(name)
            elif name not in _FOR_ONE:
                self.refuse(f"sets {name} only for {program}", "set it on its own line")
        for operator, target in command.redirects:
            self._check_redirect(operator, target)
        if program not in _TESTS and program != "curl":
            self._check_secrets([*words[1:], *command.said, *(v for _, v in command.assigned)])
        if program in _ALL_WORDS and command.function:
            return  # every call of that function is judged by what it is given
        if words:
            self._check_program([word for w in words for word in self.known.spread(w)])

    def _check_secrets(self, words: Iterable[ShellWord]) -> None:
        secrets = (n for word in words for n in word.names if is_secret_name(n))
        for name in dict.fromkeys(secrets):
            self.refuse(f"says the value of ${name}", "nvsx uses it by itself")

    def _check_assigned(self, name: str) -> None:
        protected = _PROTECTED.fullmatch(name) or is_secret_name(name)
        if not _NAME.fullmatch(name) or protected:
            self.refuse(f"changes {name}", "give variables of your own lower-case names")

    def _check_redirect(self, operator: str, target: ShellWord) -> None:
        if operator in (">&", "<&") and target.literal in ("0", "1", "2"):
            return
        good = target.literal in ("/dev/null", "/dev/stderr", "/dev/stdout")
        good = good or (operator == "<" and self.known.is_known_file(target))
        if not good and not self.known.may_write(operator, target):
            reached = re.search(r"/dev/(?:tcp|udp)/", target.raw)
            what = "reaches what cannot be read off the script"
            message = what if reached else f"reads or writes the file {target.raw}"
            self.refuse(message, 'use "$NVSX_ARTIFACT_DIR/NAME"')

    def _check_program(self, words: Sequence[ShellWord]) -> None:
        program, rest = words[0].literal or "", words[1:]
        plain = words[0].raw == program and (words[0].is_exact or program in _TESTS)
        if not program or not plain or "/" in program:
            message = f"runs {words[0].raw}, which cannot be read off the script"
            self.refuse(message, "call programs by their plain names")
        elif program in self.checks:
            self.checks[program](rest, program)
        elif program in shellprograms.PROGRAMS:
            shellprograms.check_arguments(program, rest, self.known)
        elif program in _REFUSED or re.match(r"_|kubectl-|.*\.sh$", program):
            message = f"runs {program}, which a converted hook has no use for"
            self.refuse(message, "show the command to people with echo instead")
        elif program not in LIBRARY | _SIMPLE | self.script.functions.keys():
            if any(_PRIVATE.match(word.shown) for word in rest):
                self.refuse(f"{program} names a file outside the project", _PLAINLY)
            self.mark(f"runs {program}, which nvsx does not know")

    def _check_wrapper(self, rest: Sequence[ShellWord], program: str) -> None:
        """`bounded 5`, `timeout 5s`, `time`, or a function of the script that runs its words."""
        limited = program in ("bounded", "timeout")
        if limited and (len(rest) < 2 or not re.fullmatch(r"\d{1,3}s?", rest[0].raw)):
            self.refuse(f"{program} gets no number of seconds", "bounded 5 kubectl get …")
            return
        while rest and program != "time" and re.fullmatch(r"\d+s?", rest[0].raw):
            rest = rest[1:]
        if rest:
            self._check_program(rest)

    def _check_source(self, rest: Sequence[ShellWord], _: str) -> None:
        if len(rest) != 1 or not _SOURCED.fullmatch(rest[0].raw):
            self.refuse(f"sources {' '.join(w.raw for w in rest)}", "tell people with nvsx notify")

    def _check_builtin(self, rest: Sequence[ShellWord], program: str) -> None:
        given = " ".join(w.raw for w in rest)
        if program == "set" and not re.fullmatch(r"-[eu]*(?:o pipefail)?", given):
            self.refuse("changes how bash runs with set", "only `set -euo pipefail`")
        elif program == "trap" and (not rest or rest[0].literal is None):
            self.refuse("has a trap that cannot be read off the script", "trap '…' EXIT")
        elif program == "command" and (len(rest) != 2 or rest[0].raw != "-v"):
            self.refuse("runs a program through `command`", "call it directly")
        elif program == "printf" and (not rest or not rest[0].lead or rest[0].lead[0] == "-"):
            self.refuse("printf begins with no plain format", "printf '%s\\n' …")

    def _check_declared(self, rest: Sequence[ShellWord], program: str) -> None:
        options = [w.raw for w in rest if w.lead.startswith("-")]
        names = [w for w in rest if not w.lead.startswith("-")]
        if not names or not set(options) <= {"-r", "-a", "-A", "-ar"}:
            message = f"{program} {' '.join(options)} prints, links or evaluates variables"
            self.refuse(message, "local name=value")
        for word in names:
            self._check_assigned(word.lead.partition("=")[0])
            if program == "export":
                self.mark(f"hands {word.raw} to every program")

    def _check_read(self, rest: Sequence[ShellWord], program: str) -> None:
        names = [w.raw for w in rest if w.raw not in ("-r", "-t", "-a")]
        if not names:
            self.refuse(f"{program} reads into no variable", "read -r name")
        for name in names:
            self._check_assigned(name)

    def _check_test(self, rest: Sequence[ShellWord], program: str) -> None:
        """Tests that evaluate what a variable holds: as a subscript, or as an expression."""
        for index, word in enumerate(rest):
            after = rest[index + 1].literal if index + 1 < len(rest) else None
            if word.literal in ("-v", "-R") and not _NAME.fullmatch(after or ""):
                hint = 'use [ … ] with "$NAME" for numbers, and -n for what is set'
                self.refuse(f"{program} evaluates what a variable holds", hint)
            if word.literal in _COMPUTES and program == "[[":
                for part in (p for w in rest[max(index - 1, 0) : index + 2] for p in w.parts):
                    if part.text not in _COMPUTES:
                        self._check_number(part)

    def _check_number(self, part: WordPart, depth: int = 0) -> None:
        """Bash evaluates what stands in arithmetic, `a[$(…)]` too, so it must be a number."""
        name = part.text if part.kind == "variable" or _NAME.fullmatch(part.text) else ""
        values = self.values.get(name, [])
        numeric = part.kind == "number" or re.fullmatch(r"[-+]?\d*", part.text)
        if _NUMBERS.fullmatch(name) or depth > _MOST_NESTING or _COUNTED.fullmatch(part.text):
            return
        if part.kind == "output" or None in values or (part.kind == "variable" and numeric):
            self.mark(f"computes with {part.text}, which may hold more than a number")
        elif values:
            for inner in (p for value in values if value for p in value.parts):
                self._check_number(inner, depth + 1)
        elif not numeric and not self._is_set_by_arithmetic(name):
            message = f"computes with {part.text}, which may hold a command"
            self.refuse(message, 'use [ … ] with "$NAME" for numbers')

    def _is_set_by_arithmetic(self, name: str) -> bool:
        sets = re.compile(rf"\b{name}\s*=[^=]")
        return bool(name) and any(sets.search(c.raw) for c in self.script.computed)
