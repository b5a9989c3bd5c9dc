"""The five-valued answer of a watch. Unknown is not "no", and failed is not "not yet"."""

from __future__ import annotations

from typing import Literal

import msgspec

VerdictKind = Literal["satisfied", "pending", "unknown", "failed", "invalid"]


class Verdict(msgspec.Struct, frozen=True):
    """What a watch says now, and why.

    satisfied  it holds
    pending    not yet
    unknown    it could not be read; `detail` says why
    failed     it cannot come true any more; `detail` is the cause
    invalid    the runbook is wrong
    `at` is when the thing came true or last happened, by the cluster's own clock (Unix
    seconds). `recheck_at` is when time alone can change the answer.
    """

    kind: VerdictKind
    detail: str = ""
    at: float | None = None
    recheck_at: float | None = None

    @property
    def final(self) -> bool:
        """Whether waiting on is useless."""
        return self.kind in ("failed", "invalid")


def satisfied(detail: str = "", at: float | None = None) -> Verdict:
    return Verdict("satisfied", detail, at)


def pending(detail: str = "", recheck_at: float | None = None, at: float | None = None) -> Verdict:
    return Verdict("pending", detail, at, recheck_at)


def unknown(detail: str) -> Verdict:
    return Verdict("unknown", detail)


def failed(detail: str) -> Verdict:
    return Verdict("failed", detail)


def invalid(detail: str) -> Verdict:
    return Verdict("invalid", detail)
