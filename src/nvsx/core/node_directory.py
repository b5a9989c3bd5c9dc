"""Which node somebody means: one look-up for webhooks, `--target-node`, `silence` and the shell.

People and monitoring systems call a node by its name, an address with a port, the provider's id
of its machine, the host's own name, or the alias. The forms are tried from the surest to the
loosest, without regard to case, and the first that fits exactly one node is it.
Nothing here guesses: what fits several is refused by name.

    word                            nodes of the cluster                 is
    GPU-NODE-A1                     gpu-node-a1                          its name
    10.0.0.3:9400                   gpu-node-a3 with InternalIP 10.0.0.3 an address of it
    i-0abcd                         … providerID aws:///us-west-2a/i-0abcd
    gpu-node-a1.corp.example        gpu-node-a1                          the first part of its FQDN
    ip-10-0-1-5.eu.internal         ip-10-0-1-5.us.internal              none: another domain
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address

import msgspec

from nvsx.core.aliases import alias_of
from nvsx.core.watches.snapshot import Node

HOSTNAME_LABEL = "kubernetes.io/hostname"
#: Longer than any form of a node's name: Azure's provider ids come near 300 characters.
MAX_WORD = 512

#: Names on either side of a word that are compared with it: 20 ms together.
_NEIGHBOURS = 200

_URL = re.compile(r"https?://([^/?#]+)", re.IGNORECASE)
_ADDRESS = re.compile(r"[0-9a-fA-F:.%]+(?:%\w+)?")
_BRACKETED = re.compile(r"\[([0-9a-f:.%]+)\](?::\d{1,5})?", re.IGNORECASE)
_WITH_PORT = re.compile(r"([^:\s]+):\d{1,5}")
_WORD = re.compile(r"[\w.:/\[\]%@+=-]+", re.ASCII)
_SCALE_SET = re.compile(r".*/virtualmachinescalesets/([^/]+)/virtualmachines/(\d+)")


class NodeLookup(msgspec.Struct, frozen=True, kw_only=True):
    """What a word came to: the one `node`, or in `reason` why there is none. `how` is the form
    that fitted, `several` the nodes it fitted where they were more than one."""

    node: str = ""
    how: str = ""
    several: tuple[str, ...] = ()
    nearest: str = ""
    reason: str = ""


def could_name_node(word: str) -> bool:
    """Whether a text has the form of anything a node may be called: no spaces, no path upwards."""
    return 0 < len(word) <= MAX_WORD and _WORD.fullmatch(word) is not None and ".." not in word


def is_address(word: str) -> bool:
    """Whether the word is an IP address, with a port or without."""
    return _read_address(_strip_port(word.strip())) is not None


def _read_address(text: str) -> str | None:
    if not _ADDRESS.fullmatch(text):
        return None  # as most words, and much faster than to have it refused
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _strip_port(word: str) -> str:
    """The host alone: without a URL's scheme and path, brackets, port, and final dot."""
    if url := _URL.match(word):
        word = url[1]
    if found := _BRACKETED.fullmatch(word) or _WITH_PORT.fullmatch(word):
        word = found[1]
    return word.rstrip(".")


def _provider_forms(provider_id: str) -> Iterator[str]:
    """The whole id, and what names the machine in it.

    A bare number does not: Azure counts the machines of a scale set from 0, so there it is
    `<scale set>_<number>`, as Azure itself writes it.
    """
    whole = provider_id.casefold()
    if not whole:
        return
    yield whole
    if scaled := _SCALE_SET.fullmatch(whole):
        yield f"{scaled[1]}_{scaled[2]}"
    last = whole.rstrip("/").rpartition("/")[2]
    if last and not last.isdigit():
        yield last


def _first_label(name: str) -> str:
    return name.partition(".")[0]


#: The forms in the order they are tried: in words, and what a node is called by in each.
_FORMS: tuple[tuple[str, Callable[[Node], Iterable[str]]], ...] = (
    ("its name", lambda n: (n.name.casefold(),)),
    ("its hostname label", lambda n: (n.labels.get(HOSTNAME_LABEL, "").casefold(),)),
    ("an address of it", lambda n: (_read_address(a) or a.casefold() for a in n.addresses)),
    ("its provider's id", lambda n: _provider_forms(n.provider_id)),
)


class NodeDirectory:
    """The nodes of a cluster, by everything they may be called."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        known = list(nodes)
        self.names = frozenset(node.name for node in known)
        self._forms = [
            (how, _index_nodes((node.name, forms(node)) for node in known)) for how, forms in _FORMS
        ]
        names = self._sorted = sorted(self.names)
        self._bare = _index_nodes((n, (n.casefold(),)) for n in names if "." not in n)
        self._heads = _index_nodes((n, (_first_label(n).casefold(),)) for n in names if "." in n)
        self._aliases = _index_nodes((n, (alias_of(n),)) for n in names)

    def find(self, word: str) -> NodeLookup:
        """The node that `word` names."""
        if word in self.names:
            return NodeLookup(node=word, how="its name")
        if not could_name_node(word):
            return NodeLookup(reason="it cannot be a node's name")
        for how, fitting in self._find_fitting(word):
            if len(fitting) == 1:
                return NodeLookup(node=fitting[0], how=how)
            if fitting:
                listed = ", ".join(fitting[:10])
                reason = f"{word} is {how} of {len(fitting)} nodes: {listed}"
                return NodeLookup(several=fitting, reason=reason)
        return self._say_unknown(word)

    def _find_fitting(self, word: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        folded = word.casefold()
        host = _strip_port(folded)
        address = _read_address(host)
        for how, index in self._forms:
            for form in dict.fromkeys((folded, address or host)):
                yield how, index.get(form, ())
        if address is None:
            # Both with a domain and not the same one are two machines, whatever they are called.
            heads = self._heads if "." not in host else self._bare
            yield "the first part of its full name", heads.get(_first_label(host), ())
            yield "its alias", self._aliases.get(host, ())

    def _say_unknown(self, word: str) -> NodeLookup:
        reason = f"this cluster has no node called {word}"
        nearest = self._find_nearest(_strip_port(word.casefold()))
        return NodeLookup(
            nearest=nearest, reason=f"{reason}; nearest is {nearest}" if nearest else reason
        )

    def _find_nearest(self, word: str) -> str:
        """Among so few that a flood of strangers does not hold the loop over a large cluster:
        those that stand beside it in the alphabet, and aliases where there are few nodes."""
        at = bisect_left(self._sorted, word)
        near = self._sorted[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS]
        if len(self._sorted) <= _NEIGHBOURS:
            near = [*near, *self._aliases]
        return next(iter(get_close_matches(word[:128], near, n=1)), "")


def _index_nodes(named: Iterable[tuple[str, Iterable[str]]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, forms in named:
        for form in forms:
            known = found.get(form)
            if known is None:
                found[form] = (name,)
            elif name not in known:
                found[form] = tuple(sorted((*known, name)))
    found.pop("", None)
    return found
