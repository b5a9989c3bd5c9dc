"""Repeatable identities: the same seed gives the same ids, uuids and process numbers.

Every value is derived from the seed and a path of words, not drawn in turn, so that two
incidents running at once cannot change each other's. Nothing here is a secret.
"""

from __future__ import annotations

import random
import secrets
import uuid


class Identities:
    """Identities for one sandbox; `seed=None` picks one."""

    def __init__(self, seed: int | None) -> None:
        self.given = seed is not None
        self.seed = secrets.randbits(32) if seed is None else seed
        self.uuid_documents = False
        self._counts: dict[str, int] = {}

    def rng(self, *path: object) -> random.Random:
        """A generator of its own for `path`."""
        return random.Random(f"{self.seed}/{path}")  # noqa: S311 - identities, not secrets

    def uuid(self, *path: object) -> str:
        return str(uuid.UUID(int=self.rng("uuid", *path).getrandbits(128), version=4))

    def suffix(self, *path: object) -> str:
        """Five letters as Kubernetes puts them at the end of a generated name."""
        return "".join(self.rng("suffix", *path).choices("bcdfghjklmnpqrstvwxz2456789", k=5))

    def count(self, *path: object) -> int:
        """1, 2, … : how often this was asked for `path`."""
        key = repr(path)
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]

    def document_id(self, node: str, now: float) -> str:
        """The database's id for a document about `node`: an ObjectId, or with
        `uuid_documents` a UUID."""
        if self.uuid_documents:
            return self.uuid("document", node, self.count("document", node))
        return self.object_id(node, now)

    def object_id(self, node: str, now: float) -> str:
        """A MongoDB ObjectId for a document about `node`, growing with its age.

        It begins with the time, as the driver's do; with a given seed, with a count.
        """
        number = self.count("document", node)
        first = 0x68A50000 + number if self.given else int(now)
        rest = self.rng("document", node, number).getrandbits(64)
        return f"{first:08x}{rest:016x}"
