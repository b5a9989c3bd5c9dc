"""Memorable names: every node, and every runbook without a nickname, gets one.

`alias_of` is a pure function of the name, so two machines always agree. 64 × 64 words
give 4,096 aliases: two names can share one, and an alias is never an identity by itself.
The word lists are append-never, reorder-never: a change renames every node people know.
"""

from __future__ import annotations

import hashlib

ADJECTIVES = (
    "agile amber ancient autumn bold brave bright brisk calm candid cheerful clever copper cosmic "
    "crimson curious daring dapper eager early electric fancy fearless fierce frosty gentle giddy "
    "golden happy hardy hidden humble icy jolly keen lively lucky lunar mellow mighty misty nimble "
    "noble patient plucky polar proud quick quiet rogue rustic scarlet silent silver sleepy snowy "
    "solar steady sturdy sunny swift vivid witty zesty"
).split()
ANIMALS = (
    "alpaca badger beaver bison bobcat buffalo camel caribou cheetah cobra condor cougar coyote "
    "crane dolphin eagle egret falcon ferret finch fox gazelle gecko gibbon hare hawk heron "
    "hedgehog ibex ibis iguana jackal jaguar kestrel koala lemur leopard lion llama lynx magpie "
    "marmot marten moose narwhal ocelot orca osprey otter owl panda panther pelican puffin python "
    "quail raven salmon seal stork tapir tiger walrus wombat"
).split()


def alias_of(name: str) -> str:
    """The adjective-animal alias of `name`, such as `brave-gazelle`.

    The first two bytes of the name's SHA-256 pick the two words.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return f"{ADJECTIVES[digest[0] % 64]}-{ANIMALS[digest[1] % 64]}"
