"""Listeners: who wants to hear of changes, kept apart from one another.

Reflectors, node views and log followers tell their readers through these. A reader that
fails is logged and hears the next change again; it cannot blind the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")
Unsubscribe = Callable[[], None]
_log = logging.getLogger(__name__)


class Listeners(Generic[P]):
    __slots__ = ("_callbacks",)

    def __init__(self) -> None:
        self._callbacks: list[Callable[P, None]] = []

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def add(self, callback: Callable[P, None]) -> Unsubscribe:
        """Call `callback` from now on; the result stops that, and may be called twice."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> None:
        for callback in tuple(self._callbacks):
            try:
                callback(*args, **kwargs)
            except Exception:  # noqa: BLE001 - logged; the others go on
                _log.exception("a reader of the cluster failed")
