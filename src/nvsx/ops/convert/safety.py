# ruff: noqa: E501 - patterns stay in one piece, in the languages of pages
"""What shell that a model wrote may not do, whatever the page asked for.

An allow-list: hooks say things and use the notification library; the few programs that
read and format are named here. Reading a script proves nothing about what it does, so a
person accepts it as well; this refuses what no person should have to find by reading.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from nvsx.core.errors import Problem
from nvsx.core.masking import is_secret_name
from nvsx.ops import kubewrites, shellwords
from nvsx.ops.convert.patterns import URL
from nvsx.ops.findings import Finding
from nvsx.ops.shellwords import Command

#: Functions of the packaged notification library.
LIBRARY = frozenset(
    "mark node_name headline human_ms since_fault elapsed impact bounded node_value handed_to_people "
    "cordon_left fault_seen fault_quarantined fault_progress overdue_told people_needed failure_told "
    "fault_over channels json_string clip one_line slack_escape url_encode notify_result incident_key "
    "slack_post page page_over jira_ticket jira_comment".split()
)
_BUILTINS = frozenset(
    "echo printf : true false test [ [[ return exit local readonly export set shift read cat if then elif else "
    "fi for while until do done case esac in function { } ! break continue declare unset wait let command".split()
)
_PROGRAMS = frozenset(
    "kubectl curl jq date grep cut tr sort uniq head tail wc sleep basename dirname seq mkdir".split()
)
_SPEAKING = frozenset({"echo", "printf"}) | (LIBRARY - {"bounded"})
_READS = frozenset("get describe logs top version api-resources explain".split())
_KUBE_FLAGS = re.compile(
    r"^(?:--(?:kubeconfig|server|token|user|as|context|cluster|certificate-\S+|client-\S+|insecure\S*|raw|watch)|-s|-w|-f|--filename)(?:=|$)"
)
_CURL_FILES = re.compile(
    r"^(?:-[KToOcbEx]|-F|--(?:config|upload-file|output|remote-name|cookie\S*|cert\S*|key|proxy\S*|form\S*|netrc\S*|socks\S*|unix-socket|resolve|connect-to))"
)
_PATH = re.compile(
    r"(?:^|[\s=:@'\"<>])(?:~|/(?!dev/(?:null|stdout|stderr)\b)[\w.]|\.\./)|\$\{?(?:HOME|KUBECONFIG|OLDPWD|PWD|TMPDIR|XDG_\w+)\b"
)
_FIXED = re.compile(
    r"^(?:PATH|BASH_ENV|ENV|IFS|LD_\w+|DYLD_\w+|PROMPT_COMMAND|SHELLOPTS|BASHOPTS|PYTHON\w*|KUBECONFIG|HOME|CURL_HOME|\w*_proxy|\w*_PROXY|HOOK_DEADLINE|_lib)\+?="
)
_ASSIGNMENT = re.compile(r"^([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=(.*)$", re.DOTALL)
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)")
_HOST = re.compile(
    r"^(?:[\w-]+\.)+[A-Za-z]{2,}(?::\d+)?(?:/.*)?$|^\d+(?:\.\d+){3}(?::\d+)?(?:/.*)?$|^localhost\b"
)
_INDIRECT = re.compile(r"\$\{!|/dev/(?:tcp|udp)/|\beval\b")


def hosts_in(text: str) -> frozenset[str]:
    """The hosts of all addresses in a text."""
    return frozenset(host for url in URL.findall(text) if (host := _host(url)))


def _host(url: str) -> str:
    match = re.match(r"\w+://(?:[^/@\s]*@)?([^/\s:?#\"'`<>)\]]+)", url)
    return match[1].casefold().rstrip(".,;") if match else ""


def examine(file: str, text: str, hosts: Collection[str] | None, runbook: str) -> list[Finding]:
    """Everything a hook does that it may not. `hosts` are the hosts the page names; None
    when they were checked already."""
    found = [
        Finding("error", "unsafe-hook", Problem(message, file, line, hint=hint), runbook)
        for line, message, hint in _Reader(text, hosts).read()
    ]
    return list(dict.fromkeys(found))


def without_literals(text: str) -> str:
    """A script with its single-quoted strings emptied; line breaks in them stay."""
    out: list[str] = []
    index, double = 0, False
    while index < len(text):
        char = text[index]
        if char == "\\":
            out.append(text[index : index + 2])
            index += 2
            continue
        if char == "#" and not double and (not out or out[-1][-1:].isspace()):
            end = text.find("\n", index)
            index = len(text) if end < 0 else end
            continue
        if char == "'" and not double:
            end = text.find("'", index + 1)
            end = len(text) if end < 0 else end
            out.append("'" + "\n" * text.count("\n", index, end) + "'")
            index = end + 1
            continue
        double ^= char == '"'
        out.append(char)
        index += 1
    return "".join(out)


_Said = tuple[int, str, str]


class _Reader:
    def __init__(self, text: str, hosts: Collection[str] | None) -> None:
        self.text = text
        self.hosts = hosts
        self.commands = shellwords.commands(text)
        self.functions = {c.function for c in self.commands if c.function}
        self.assigned: set[str] = set()

    def read(self) -> Iterator[_Said]:
        for write in kubewrites.writes(self.text):
            yield write.line, f"`{write.command}` writes to the cluster", "NVSentinel does that"
        for command in self.commands:
            for word in command.words:
                if match := _ASSIGNMENT.match(word):
                    self.assigned.add(match[1])
        for number, line in enumerate(self.text.split("\n"), 1):
            yield from self._addresses(number, line)
        for number, line in enumerate(without_literals(self.text).split("\n"), 1):
            if _INDIRECT.search(line):
                what = "runs or reaches what cannot be read off the script"
                yield number, what, "write it plainly"
        for line_no, target in shellwords.redirects(self.text):
            if _PATH.search(target) or ("$" in target and "NVSX_" not in target):
                yield line_no, f"reads or writes the file {target}", "use $NVSX_ARTIFACT_DIR"
        for command in self.commands:
            yield from self._command(command)
        for command in shellwords.commands(without_literals(self.text)):
            yield from self._secrets(command)

    @staticmethod
    def _secrets(command: Command) -> Iterator[_Said]:
        """Secrets as arguments of what prints, posts or keeps them. Within single quotes a
        variable is only its name."""
        words = [w for w in command.words if not _ASSIGNMENT.match(w)]
        if not words or words[0] in ("curl", "[", "[[", "test"):
            return
        for name in (n for word in words[1:] for n in _VARIABLE.findall(word)):
            if is_secret_name(name):
                hint = "the library uses it by itself"
                yield command.line, f"says the value of ${name}", hint

    def _addresses(self, number: int, line: str) -> Iterator[_Said]:
        if self.hosts is None:
            return
        for url in URL.findall(line):
            host = _host(url)
            if host and "$" not in host and host not in self.hosts:
                message = f"names the host {host}, which the page does not"
                yield number, message, "use an address of the page, or a variable"

    def _command(self, command: Command) -> Iterator[_Said]:
        words = list(command.words)
        while words and (
            _ASSIGNMENT.match(words[0])
            or words[0] in ("if", "then", "elif", "else", "do", "while", "until", "!", "{", "time")
        ):
            head = words.pop(0)
            if _FIXED.match(head):
                yield command.line, f"changes {head.split('=')[0]}", "leave it as nvsx sets it"
            if _ASSIGNMENT.match(head) and _PATH.search(head.split("=", 1)[1]):
                yield command.line, f"names a path outside the project: {head}", ""
        if (
            not words
            or words[0] in ("for", "case", "in", "done", "fi", "esac", "}", ")", ";;")
            or words[0].endswith(")")
        ):
            return
        program, rest = words[0], words[1:]
        if program == "bounded":
            program, rest = (rest[1], rest[2:]) if len(rest) > 1 else ("", [])
        if program == "command" and rest[:1] != ["-v"]:
            yield command.line, "runs a program through `command`", "call it directly"
        elif program in ("source", "."):
            if not re.fullmatch(
                r"\$\(\)/\.\./lib/(?:incident|notify|jira)\.sh", rest[0] if rest else ""
            ):
                yield command.line, f"sources {' '.join(rest)}", "source only ../lib/incident.sh"
        elif program not in _BUILTINS | _PROGRAMS | LIBRARY | self.functions:
            message = f"runs {program}, which a converted hook has no use for"
            yield command.line, message, "show the command to people with echo instead"
        else:
            yield from self._arguments(program, rest, command.line)

    def _arguments(self, program: str, rest: list[str], line: int) -> Iterator[_Said]:
        if program in ("export", "local", "readonly", "declare"):
            for word in rest:
                if _FIXED.match(word) or word.startswith("-n"):
                    yield line, f"changes {word.split('=')[0]}", "leave it as nvsx sets it"
        if program == "kubectl":
            yield from self._kubectl(rest, line)
        elif program == "curl":
            yield from self._curl(rest, line)
        if program not in _SPEAKING | {"[", "[[", "test", "read", "return", "exit", "set"}:
            for word in rest:
                if _PATH.search(word):
                    yield line, f"{program} names a file outside the project: {word}", ""

    def _kubectl(self, rest: list[str], line: int) -> Iterator[_Said]:
        flagged = next((w for w in rest if _KUBE_FLAGS.match(w)), "")
        if flagged:
            yield line, f"kubectl {flagged} reaches beyond this run's cluster or reads a file", ""
        verb = next((w for w in rest if not w.startswith("-")), "")
        if verb not in _READS:
            yield line, f"kubectl {verb} is not a plain read", "kubectl get, describe or logs"
        if re.search(r"(?:^|[ ,/])secrets?\b", " ".join(rest)):
            yield line, "kubectl reads secrets", "a hook has no use for them"

    def _curl(self, rest: list[str], line: int) -> Iterator[_Said]:
        for word in rest:
            if (
                _CURL_FILES.match(word)
                or word.startswith("@")
                or re.match(r"^(?:-d|--data\S*=?)@", word)
            ):
                yield line, f"curl {word} uses a file, a proxy or another host", ""
            local = set(_VARIABLE.findall(word)) & self.assigned
            if local and word.startswith("$"):
                yield line, f"curl gets an address put together in the script: {word}", ""
            if self.hosts is not None and _HOST.match(word):
                host = re.split(r"[:/]", word)[0].casefold()
                if host not in self.hosts:
                    yield line, f"curl reaches {host}, which the page does not name", ""
