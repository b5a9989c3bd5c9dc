import hashlib

from nvsx.core.aliases import ADJECTIVES, ANIMALS, alias_of


def test_each_list_has_64_unique_words() -> None:
    """Every alias is equally likely: 64 different adjectives and 64 different animals."""
    assert len(set(ADJECTIVES)) == len(ADJECTIVES) == 64
    assert len(set(ANIMALS)) == len(ANIMALS) == 64
    assert {"brave", "rogue", "sleepy"} <= set(ADJECTIVES)
    assert {"gazelle", "moose", "panda"} <= set(ANIMALS)


def test_alias_is_picked_by_the_hash_of_the_name() -> None:
    """The same name gives the same alias on every machine, picked by SHA-256."""
    digest = hashlib.sha256(b"gpu-node-17").digest()
    assert alias_of("gpu-node-17") == f"{ADJECTIVES[digest[0] % 64]}-{ANIMALS[digest[1] % 64]}"


def test_known_aliases_never_change() -> None:
    """People know nodes by these names: reordering the words would rename them all."""
    assert [alias_of(n) for n in ("gpu-node-0", "gpu-node-1", "ip-10-0-0-1")] == PINNED


def test_aliases_spread() -> None:
    """A thousand nodes use most of what 4,096 aliases allow."""
    assert len({alias_of(f"node-{i}") for i in range(1000)}) > 800


PINNED = ["scarlet-alpaca", "crimson-wombat", "patient-dolphin"]
