"""The words NVSentinel uses, as lint needs to know them.

The values live in `nvsentinel.names`; this is only their shape, so that rules about
runbooks need not know where NVSentinel's facts are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What exists, and what is often assumed to exist but does not.

    `invented` maps names from old documents to the real ones. `silent` maps a subject
    (`taint nvidia.com/gpu-error`, `condition GpuDriverWatch`) to what to wait for instead.
    `no_repair` maps (check, error code or "" for any) to the action that creates no
    custom resource.
    """

    checks: frozenset[str]
    check_prefixes: tuple[str, ...]
    invented: Mapping[str, str]
    states: tuple[str, ...]
    actions: frozenset[str]
    collections: frozenset[str]
    document_roots: frozenset[str]
    silent: Mapping[str, str]
    no_repair: Mapping[tuple[str, str], str]

    def knows_check(self, name: str) -> bool:
        return name in self.checks or name.startswith(self.check_prefixes)
