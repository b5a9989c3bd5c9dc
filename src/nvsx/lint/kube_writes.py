"""Commands in a hook that would write to the cluster.

Reading a script cannot prove that it writes nothing: this finds what people write by
mistake, through variables, wrappers and functions too, and names what it cannot judge; the
guard in front of a hook's kubectl refuses the rest at run time. Text that is only printed is
never reported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

from nvsx.lint.bash_tree import read_script
from nvsx.lint.shell_script import ShellCommand

WRITE_VERBS = frozenset(
    "annotate apply attach autoscale cordon cp create debug delete drain edit exec expose label "
    "patch replace run scale set taint uncordon".split()
)
WRITE_SUBCOMMANDS: Mapping[str, frozenset[str]] = {
    "rollout": frozenset({"restart", "undo", "pause", "resume"}),
    "certificate": frozenset({"approve", "deny"}),
    "auth": frozenset({"reconcile"}),
    "config": frozenset(
        {"set", "set-cluster", "set-context", "set-credentials", "unset", "use", "use-context"}
        | {"delete-cluster", "delete-context", "delete-user", "rename-context"}
    ),
}
HELM_WRITES = frozenset({"install", "upgrade", "uninstall", "delete", "rollback"})

_VALUE_FLAGS = frozenset(
    "-n --namespace --context --kubeconfig -s --server --cluster --user --as --as-group --as-uid "
    "--token --request-timeout -v --v --cache-dir --certificate-authority --client-key "
    "--client-certificate --tls-server-name --kube-context --password --username".split()
)
_SSH_FLAGS = frozenset("-B -b -c -D -E -F -I -i -J -L -l -m -O -o -p -R -S -W -w".split())
#: Programs that run the rest of their words, with their options that take a value.
_PREFIXES: Mapping[str, str] = {
    "env": "-u -C -S --split-string",
    "sudo": "-u -g -h -p -C -D -R -T -U",
    "timeout": "-k -s --kill-after --signal",
    "nice": "-n",
    "ionice": "-c -n -p",
    "stdbuf": "-i -o -e",
    "xargs": "-I -n -P -L -d -E -s -a",
    "watch": "-n",
    **dict.fromkeys("command builtin exec nohup time setsid busybox parallel".split(), ""),
}
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh", "ash"})
#: What takes a script behind -c, as a login shell or as somebody else.
_TAKES_SCRIPT = _SHELLS | {"su", "runuser"}
_LANGUAGES = re.compile(r"(?:python|perl|ruby|node|php|lua)[\d.]*")
_STARTS_PROGRAMS = re.compile(
    r"subprocess|os\.(?:system|exec|spawn|popen)|\b(?:system|popen|exec(?! @ARGV))\b|`"
    r"|child_process|kube|:6443|(?m:^[\w$./{}-]+\.(?:py|pl|rb|js)$)"
)
_ARGUMENTS = frozenset({"$@", "$*", "${@}", "${*}"})
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?:\[[@*]\])?(?::?[-=]([^}]*))?\}|([A-Za-z_]\w*))")
_UNKNOWN = re.compile(r"\$(?:[A-Za-z0-9_{@*(])")
_API = re.compile(
    r"/api/v1/(nodes|namespaces|pods)|/apis/\w|KUBERNETES_SERVICE|kubernetes\.default|:6443\b"
)
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MAX_EXPANSION = 4000
_MAX_NESTING = 5


@dataclass(frozen=True, slots=True)
class ClusterWrite:
    """A command that writes, and the line it is on; or one that may, as `unjudged`."""

    line: int
    command: str


@dataclass(frozen=True, slots=True)
class WriteVerdict:
    """What a script surely writes, and what reading it cannot tell."""

    writes: list[ClusterWrite]
    unjudged: list[ClusterWrite]


def find_writes(script: str) -> list[ClusterWrite]:
    """The commands of a shell script that would write to the cluster."""
    return judge_script(script).writes


def judge_script(script: str) -> WriteVerdict:
    """Every command of a shell script that writes, or that nobody can tell of.

    `k=kubectl; $k "" delete pod x` writes; `kubectl "$1" pod x` and `curl … | sh` may;
    `echo kubectl delete` does not.
    """
    judge = _WriteJudge()
    judge.read(script, 1, 0)
    writes = sorted(set(judge.writes), key=lambda w: (w.line, w.command))
    lines = {w.line for w in writes}
    unjudged = sorted(
        {w for w in judge.unjudged if w.line not in lines}, key=lambda w: (w.line, w.command)
    )
    return WriteVerdict(writes, unjudged)


@dataclass(slots=True)
class _WriteJudge:
    variables: dict[str, str] = field(default_factory=dict)
    kubectls: set[str] = field(default_factory=lambda: {"kubectl", "oc"})
    runners: set[str] = field(default_factory=lambda: {"bounded"})  # the library's own
    writes: list[ClusterWrite] = field(default_factory=list)
    unjudged: list[ClusterWrite] = field(default_factory=list)

    def read(self, text: str, line: int, depth: int) -> None:
        script = read_script(text, line)
        for command in script.commands:
            self._learn_names(command)
        for name, values in script.loops:
            if len(values) == 1:
                self.variables.setdefault(name, values[0].shown)
        for command in script.commands:
            self._learn_function(command)
        for command in script.commands:
            self._judge_command(self._find_program(command), command, depth)
        self.unjudged += [ClusterWrite(at, f"what {what}") for at, what in script.unread[:1]]

    def _learn_names(self, command: ShellCommand) -> None:
        """Assignments count for the whole script, whatever branch they are in."""
        for name, value in command.assigned:
            self.variables.setdefault(name, value.shown)
        if command.program == "alias":
            for word in command.words[1:]:
                name, _, text = word.shown.partition("=")
                if _base_name(text.split(" ")[0]) in self.kubectls:
                    self.kubectls.add(name)

    def _learn_function(self, command: ShellCommand) -> None:
        """A function that passes its arguments on is another name for what it calls."""
        words = self._find_program(command)
        if not command.function or not words or not _ARGUMENTS & set(words):
            return
        if _base_name(words[0]) in self.kubectls and _find_verb(words[1:])[0] in _ARGUMENTS:
            self.kubectls.add(command.function)
        elif words[0] in _ARGUMENTS:
            self.runners.add(command.function)

    def _find_program(self, command: ShellCommand) -> list[str]:
        """The command without prefixes and empty words, variables put in."""
        left = [w for word in command.words for w in self._expand_words(word.shown)]
        while left:
            head = _base_name(left[0])
            if not left[0] or (left[0].startswith("-") and left[0] != "-"):
                left = left[1:]  # nothing, or an option of a prefix
            elif head in _PREFIXES or left[0] in self.runners:
                left = _drop_prefix(left)
            elif head == "find":
                at = next((i for i, w in enumerate(left) if re.match(r"-(exec|ok)", w)), None)
                left = left[at + 1 :] if at else []
            else:
                break
        return left

    def _expand_words(self, word: str) -> list[str]:
        """A word with known variables put in; one that is only a variable may become several."""
        whole = _VARIABLE.fullmatch(word)
        text = word
        for _ in range(3):
            text = _VARIABLE.sub(self._find_value, text)[:_MAX_EXPANSION]
        if whole and text != word:
            return text.split()
        return [text]

    def _find_value(self, match: re.Match[str]) -> str:
        name, default = match[1] or match[3], match[2]
        if name in self.variables:
            return self.variables[name]
        if default is not None:
            return default
        return "kubectl" if name.upper() in ("KUBECTL", "KUBECTL_BIN") else match[0]

    def _judge_command(self, words: list[str], command: ShellCommand, depth: int) -> None:
        if not words:
            return
        program, rest = _base_name(words[0]), words[1:]
        said = ""
        if program in self.kubectls or words[0] in self.kubectls:
            self._judge_kubectl(rest, command)
        elif program in _TAKES_SCRIPT or program in ("eval", "trap", "ssh"):
            self._judge_nested(program, rest, command, depth)
        elif program == "helm":
            verb, _ = _find_verb(rest)
            said = f"helm {verb}" if verb in HELM_WRITES else ""
        elif program in ("curl", "wget"):
            method = _find_http_write(rest)
            said = f"{program} {method} to the Kubernetes API" if method else ""
        elif _LANGUAGES.fullmatch(program):
            text = "\n".join([*rest, *(w.shown for w in command.said)])
            if _STARTS_PROGRAMS.search(text):
                self._leave_unjudged(command, program)
        elif _UNKNOWN.match(words[0]) and not (command.function and words[0] in _ARGUMENTS):
            self._leave_unjudged(command, words[0])
        if said:
            self.writes.append(ClusterWrite(command.line, said))

    def _leave_unjudged(self, command: ShellCommand, what: str) -> None:
        self.unjudged.append(ClusterWrite(command.line, f"what `{what}` does"))

    def _judge_kubectl(self, words: list[str], command: ShellCommand) -> None:
        """kubectl steps over empty words before its verb, and a variable may be empty."""
        if said := _find_kubectl_write(words):
            self.writes.append(ClusterWrite(command.line, f"kubectl {said}"))
            return
        verb, rest = _find_verb(words)
        if not _UNKNOWN.match(verb) or (command.function and verb in _ARGUMENTS):
            return
        if said := _find_kubectl_write(rest):
            self.writes.append(ClusterWrite(command.line, f"kubectl {said}"))
        else:
            self._leave_unjudged(command, f"kubectl {verb}")

    def _judge_nested(
        self, program: str, rest: list[str], command: ShellCommand, depth: int
    ) -> None:
        scripts = [word.shown for word in command.said] if program in {*_SHELLS, "ssh"} else []
        if program == "eval":
            scripts = [" ".join(rest)]
        elif program == "trap":
            scripts = rest[:1]
        elif program == "ssh":
            _, remote = _find_verb(rest, _SSH_FLAGS)
            scripts += [" ".join(remote)] if remote else []
        else:
            flag = next((i for i, w in enumerate(rest) if re.fullmatch(r"-\w*c|--command", w)), -1)
            scripts += rest[flag + 1 : flag + 2] if flag >= 0 else []
        unknown = not scripts or any(_UNKNOWN.fullmatch(s[:2]) for s in scripts)
        if depth > _MAX_NESTING or (unknown and rest[:1] not in (["--version"], ["-n"])):
            self._leave_unjudged(command, program)
            return
        for script in scripts:
            self.read(script, command.line, depth + 1)


def _base_name(word: str) -> str:
    return PurePosixPath(word).name


def _drop_prefix(words: list[str]) -> list[str]:
    """What `sudo -u x`, `env A=1`, `env -S 'a b'`, `timeout 5s`, `xargs -n 1` would run."""
    head, left = _base_name(words[0]), words[1:]
    valued = _PREFIXES.get(head, "").split()
    while left and (left[0].startswith("-") or _ASSIGNMENT.fullmatch(left[0]) or not left[0]):
        split = re.fullmatch(r"(?:-\w*S|--split-string)=?(.*)", left[0], re.DOTALL)
        if head == "env" and split:
            inner = [split[1]] if split[1] else left[1:2]
            return [*" ".join(inner).split(), *left[1 if split[1] else 2 :]]
        left = left[2:] if left[0] in valued else left[1:]
    limited = left and head not in _PREFIXES and re.fullmatch(r"[\d.]+[smhd]?", left[0])
    return left[1:] if head == "timeout" or limited else left


def _find_verb(words: list[str], valued: frozenset[str] = _VALUE_FLAGS) -> tuple[str, list[str]]:
    """The first word that is no flag and not empty, and what follows it."""
    index = 0
    while index < len(words) and (not words[index] or words[index].startswith("-")):
        index += 2 if words[index] in valued else 1
    return (words[index], words[index + 1 :]) if index < len(words) else ("", [])


def _find_kubectl_write(words: list[str]) -> str:
    """The verb, when it writes; "" when it reads or only tries."""
    if any(w == "--dry-run" or re.fullmatch(r"--dry-run=(client|server)", w) for w in words):
        return ""
    verb, rest = _find_verb(words)
    sub, _ = _find_verb(rest)
    if verb in WRITE_SUBCOMMANDS:
        return f"{verb} {sub}" if sub in WRITE_SUBCOMMANDS[verb] else ""
    if verb == "apply" and sub == "view-last-applied":
        return ""
    return verb if verb in WRITE_VERBS else ""


def _find_http_write(words: list[str]) -> str:
    """The HTTP method, when a request would write to something like a Kubernetes API."""
    if not any(_API.search(unquote(word)) for word in words):
        return ""
    line = " ".join(words)
    explicit = re.search(r"(?:^| )(?:-\w*X ?|--request[= ]|--method[= ])([A-Za-z]+)", line)
    if explicit:
        return explicit[1].upper() if explicit[1].upper() in _METHODS else ""
    sends = re.search(r"(?:^| )(?:-d|--data\S*|--json|-F|--form|-T|--post-\w+)(?:[= ]|$)", line)
    return "POST" if sends else ""
