# ruff: noqa: E501 - patterns stay in one piece, in the languages of pages
"""Commands in the words of a page: where one ends, and whether NVSentinel does its work.

Cordon, drain, taint, uncordon, reboot and GPU reset are NVSentinel's: their commands
leave the runbook and become watches. Nothing here is ever executed.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from nvsx.convert.page_patterns import PROSE_COMMAND

CoreVerb = Literal["cordon", "drain", "taint", "uncordon", "reboot"]
#: Where NVSentinel's doing of it shows in a runbook.
CORE_STAGE: dict[str, str] = {
    "cordon": "quarantine",
    "taint": "quarantine",
    "drain": "drain",
    "reboot": "remediate",
    "uncordon": "recover",
}

_KUBECTL = re.compile(r"^(?:kubectl|oc(?: adm)?|k)\b(.*)$", re.DOTALL)
_VERB = re.compile(r"(?:^|\s)(cordon|uncordon|drain|taint)(?=\s|$)")
_INNER = re.compile(r"\s--\s+(.*)$", re.DOTALL)
_PREFIX = re.compile(
    r"^(?:\S*[$#>]\s+|sudo\s+(?:-\S+\s+)*|nohup\s+|time\s+|timeout\s+\S+\s+|env\s+|[A-Z_]+=\S*\s+"
    r"|(?:chroot|nsenter)\s+(?:-\S+\s+)*\S+\s+(?:--\s+)?(?:-\S+\s+)*)+"
)
_SSH = re.compile(r"^ssh\s+(?:-[A-Za-z](?:\s+(?!-)\S+(?=\s+\S+\s))?\s+)*\S+\s+(.*)$", re.DOTALL)
_REBOOT = re.compile(
    r"^(?:/\S*/)?(?:reboot|shutdown\s+.*-r|systemctl\s+(?:-\S+\s+)*reboot|init\s+6|scontrol\s+reboot"
    r"|aws\s+ec2\s+reboot-instances|gcloud\s+compute\s+instances\s+reset|az\s+vm\s+restart"
    r"|nvidia-smi\s+(?:.*\s)?(?:--gpu-reset|-r)(?=\s|$))",
    re.DOTALL,
)
#: A step that is nothing but a command, of the kinds that are no ordinary words.
_WHOLE = re.compile(
    r"^\s*(?:sudo )?(?:ssh \S+ \S.*|shutdown -\S.*|(?:/sbin/)?reboot(?: -\S+)*|systemctl \S+.*)[.\s]*$"
)
#: Options whose next word is their value, whatever that word looks like.
_VALUED = frozenset("-n --namespace -o --output -l --selector -c --container --context".split())
_SPLIT = re.compile(r"\s*(?:&&|\|\||;)\s*")
_WORD_STOP = re.compile(
    r"(?:^|(?<=\s))(?:and|then|to|on|with|for|before|after|the|a|an|if|when|until|in|or|but|so|from|by|as|is"
    r"|which|that|first|again|once|while|und|dann|um|auf|et|puis|sur|y|luego|en)(?=\s|$)",
    re.IGNORECASE,
)


class Cut(NamedTuple):
    """A command line without NVSentinel's part: what is shown, the words that must stay,
    and what was taken out."""

    shown: str
    pieces: tuple[str, ...]
    verbs: tuple[str, ...]


def core_verb(command: str) -> str:
    """What NVSentinel does of a single command: `cordon`, `drain`, …; "" for anything else."""
    word = command.strip().strip("`")
    for _ in range(4):
        before = word
        word = _PREFIX.sub("", word)
        ssh = _SSH.match(word)
        if ssh:
            word = ssh[1].strip("'\"")
        if word == before:
            break
    kubectl = _KUBECTL.match(word)
    if kubectl:
        rest = kubectl[1]
        inner = _INNER.search(rest)
        if inner and re.match(r"\s+(?:-\S+\s+)*(?:exec|debug|run|node-shell)\b", rest):
            return core_verb(inner[1])
        verb = _VERB.search(rest.split(" -- ")[0])
        if verb and verb[1] == "taint" and re.search(r"[\w:/]-(?:\s|$)", rest):
            return "uncordon"  # a taint taken away goes with the uncordon
        first = re.match(
            r"(?:\s+-\S+(?:\s+(?!cordon|uncordon|drain|taint)[^-\s]\S*)?)*\s+(\S+)", rest
        )
        return verb[1] if verb and first and first[1] == verb[1] else ""
    return "reboot" if _REBOOT.match(word) else ""


def cut(line: str) -> Cut:
    """A command line with NVSentinel's commands replaced by what NVSentinel does."""
    parts = _SPLIT.split(line)
    joints = _SPLIT.findall(line)
    shown, pieces, verbs = "", [], []
    for index, part in enumerate(parts):
        verb = core_verb(part) if part.strip() else ""
        if verb:
            verbs.append(verb)
            shown += f"[NVSentinel: {verb}]"
        elif part.strip():
            pieces.append(part.strip())
            shown += part
        shown += joints[index] if index < len(joints) else ""
    return Cut(shown, tuple(pieces), tuple(verbs))


def in_prose(text: str) -> list[tuple[int, int]]:
    """Where commands stand in running text, as far as one can tell where they end."""
    if _WHOLE.match(text):
        return [(len(text) - len(text.lstrip()), len(text.rstrip(" \n.")))]
    found = []
    for match in PROSE_COMMAND.finditer(text):
        end = match.end()
        words, value, given = 0, False, False
        for token in re.finditer(r"\s+(\S+)", text[match.end() :]):
            word = token[1]
            plain = re.fullmatch(r"[A-Za-z]+[.,;:)!?]*", word) is not None
            if plain and not given and _WORD_STOP.fullmatch(word.rstrip(".,;:")):
                break
            words += plain and not value
            value = word.startswith("-") and "=" not in word
            given = word in _VALUED
            if plain and words > (1 if _VERB.search(text[match.start() : end]) else 3):
                break
            end = match.end() + token.end()
            if re.search(r"[,;:!?)]$|[\w>\"']\.$", word):
                end -= len(word) - len(word.rstrip(".,;:!?)"))
                break
        found.append((match.start(), end))
    return found
