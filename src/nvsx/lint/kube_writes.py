"""Commands in a hook that would write to the cluster.

Reading a script cannot prove that it writes nothing: this finds what people write by
mistake, through variables, wrappers and functions too, and the guard in front of a hook's
kubectl refuses the rest at run time. Text that is only printed is never reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from nvsx.lint.shell_words import Command, commands

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
_KEYWORDS = frozenset("if then elif else while until do ! { } time".split())
_PREFIXES = frozenset(
    "env sudo command builtin exec nohup nice ionice timeout xargs stdbuf".split()
)
_PREFIX_VALUES = frozenset("-u -g -n -I -P -L -d -k -s -i -o -e --signal --kill-after".split())
_DECLARE = frozenset({"export", "local", "readonly", "declare", "typeset"})
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?:\[[@*]\])?(?::?[-=]([^}]*))?\}|([A-Za-z_]\w*))")
_API = re.compile(
    r"/api/v1/(nodes|namespaces|pods)|/apis/\w|KUBERNETES_SERVICE|kubernetes\.default|:6443\b"
)
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MAX_EXPANSION = 4000


@dataclass(frozen=True, slots=True)
class ClusterWrite:
    """A command that writes, and the line it is on."""

    line: int
    command: str


def writes(script: str) -> list[ClusterWrite]:
    """The commands of a shell script that would write to the cluster."""
    found = _Reader().read(commands(script), 0)
    return sorted(set(found), key=lambda w: (w.line, w.command))


@dataclass(slots=True)
class _Reader:
    variables: dict[str, str] = field(default_factory=dict)
    kubectls: set[str] = field(default_factory=lambda: {"kubectl", "oc"})
    runners: set[str] = field(default_factory=set)

    def read(self, script: list[Command], depth: int) -> Iterator[ClusterWrite]:
        for command in script:
            self._learn(command)
        for command in script:
            self._learn_function(command)
        for command in script:
            yield from self._judge(self._plain(command.words), command, depth)

    def _learn(self, command: Command) -> None:
        """Assignments count for the whole script, whatever branch they are in."""
        words = command.words[1:] if command.words[0] in _DECLARE else command.words
        for word in words:
            assigned = _ASSIGNMENT.fullmatch(word)
            if assigned is None:
                break
            name, value = assigned.groups()
            self.variables.setdefault(name, value)
        if command.words[0] == "alias":
            for word in command.words[1:]:
                name, _, value = word.partition("=")
                if _program(value.split(" ")[0]) in self.kubectls:
                    self.kubectls.add(name)

    def _learn_function(self, command: Command) -> None:
        """A function that passes its arguments on is another name for what it calls."""
        words = self._plain(command.words)
        if not command.function or not words or not {"$@", "$*", "${@}"} & set(words):
            return
        if _program(words[0]) in self.kubectls and _verb(words[1:])[0] in ("$@", "$*", "${@}"):
            self.kubectls.add(command.function)
        elif words[0] in ("$@", "$*", "${@}"):
            self.runners.add(command.function)

    def _plain(self, words: tuple[str, ...]) -> list[str]:
        """The command without keywords, assignments and prefixes, variables put in."""
        left = [w for word in words for w in self._expand(word)]
        while left:
            head = left[0]
            if head in _KEYWORDS or _ASSIGNMENT.fullmatch(head):
                left = left[1:]
            elif _program(head) in _PREFIXES or head in self.runners:
                left = _after_prefix(left)
            else:
                break
        return left

    def _expand(self, word: str) -> list[str]:
        """A word with known variables put in; one that is only a variable may become several."""
        whole = _VARIABLE.fullmatch(word)
        text = word
        for _ in range(3):
            text = _VARIABLE.sub(self._value, text)[:_MAX_EXPANSION]
        if whole and text != word:
            return text.split() or [""]
        return [text]

    def _value(self, match: re.Match[str]) -> str:
        name, default = match[1] or match[3], match[2]
        if name in self.variables:
            return self.variables[name]
        if default is not None:
            return default
        return "kubectl" if name.upper() in ("KUBECTL", "KUBECTL_BIN") else match[0]

    def _judge(self, words: list[str], command: Command, depth: int) -> Iterator[ClusterWrite]:
        if not words:
            return
        program, rest = _program(words[0]), words[1:]
        if program in _SHELLS or program == "eval":
            yield from self._nested(program, rest, command, depth)
        elif program in self.kubectls or words[0] in self.kubectls:
            if said := _kubectl_write(rest):
                yield ClusterWrite(command.line, f"kubectl {said}")
        elif program == "helm":
            verb, _ = _verb(rest)
            if verb in HELM_WRITES:
                yield ClusterWrite(command.line, f"helm {verb}")
        elif program in ("curl", "wget") and (method := _http_write(rest)):
            yield ClusterWrite(command.line, f"{program} {method} to the Kubernetes API")

    def _nested(
        self, program: str, rest: list[str], command: Command, depth: int
    ) -> Iterator[ClusterWrite]:
        if depth > 5:
            return
        script = " ".join(rest)
        if program != "eval":
            flag = next((i for i, w in enumerate(rest) if re.fullmatch(r"-\w*c", w)), None)
            if flag is None or flag + 1 >= len(rest):
                return
            script = rest[flag + 1]
        yield from self.read(commands(script, command.line), depth + 1)


def _program(word: str) -> str:
    return PurePosixPath(word).name


def _after_prefix(words: list[str]) -> list[str]:
    """What `sudo -u x`, `env A=1`, `timeout 5s`, `xargs -n 1` and the like would run."""
    head, left = _program(words[0]), words[1:]
    while left and (left[0].startswith("-") or (head == "env" and "=" in left[0])):
        left = left[2:] if left[0] in _PREFIX_VALUES else left[1:]
    return left[1:] if head == "timeout" else left


def _verb(words: list[str]) -> tuple[str, list[str]]:
    """The first word that is no flag, and what follows it."""
    index = 0
    while index < len(words) and words[index].startswith("-"):
        index += 2 if words[index] in _VALUE_FLAGS else 1
    return (words[index], words[index + 1 :]) if index < len(words) else ("", [])


def _kubectl_write(words: list[str]) -> str:
    """The verb, when it writes; "" when it reads or only tries."""
    if any(w == "--dry-run" or re.fullmatch(r"--dry-run=(client|server)", w) for w in words):
        return ""
    verb, rest = _verb(words)
    sub, _ = _verb(rest)
    if verb in WRITE_SUBCOMMANDS:
        return f"{verb} {sub}" if sub in WRITE_SUBCOMMANDS[verb] else ""
    if verb == "apply" and sub == "view-last-applied":
        return ""
    return verb if verb in WRITE_VERBS else ""


def _http_write(words: list[str]) -> str:
    """The HTTP method, when a request would write to something like a Kubernetes API."""
    if not any(_API.search(word) for word in words):
        return ""
    line = " ".join(words)
    explicit = re.search(r"(?:^| )(?:-\w*X ?|--request[= ]|--method[= ])([A-Za-z]+)", line)
    if explicit:
        return explicit[1].upper() if explicit[1].upper() in _METHODS else ""
    sends = re.search(r"(?:^| )(?:-d|--data\S*|--json|-F|--form|-T|--post-\w+)(?:[= ]|$)", line)
    return "POST" if sends else ""
