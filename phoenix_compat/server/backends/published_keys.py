"""Remembers the idempotency keys of what was published, in memory.

A broadcast reaches whoever is connected at that moment, so its key need not outlive the process.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

MAX_KEYS: Final = 10_000
KEY_RETENTION_S: Final = 86_400.0
"""The same as for tasks."""


class _Used(NamedTuple):
    """How a key was used; `at_s` is of the monotonic clock."""

    fingerprint: str
    at_s: float


class PublishedKeys:
    """The keys of this process, each with the hash of its body. The oldest is forgotten first.

    Attributes:
        forgotten: keys that were forgotten before their time, because there were too many.
    """

    def __init__(
        self, max_keys: int = MAX_KEYS, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.forgotten = 0
        self._max_keys = max_keys
        self._now_s = now_s
        self._used: OrderedDict[tuple[str, str], _Used] = OrderedDict()

    def fingerprint(self, owner: str, key: str) -> str | None:
        """The hash of the body with which an owner used a key; None if it was not used."""
        self._forget_old()
        used = self._used.get((owner, key))
        return None if used is None else used.fingerprint

    def add(self, owner: str, key: str, fingerprint: str) -> None:
        """Remember a key."""
        self._used[owner, key] = _Used(fingerprint, self._now_s())
        if len(self._used) > self._max_keys:
            self._used.popitem(last=False)
            self.forgotten += 1

    def _forget_old(self) -> None:
        oldest_s = self._now_s() - KEY_RETENTION_S
        while self._used and next(iter(self._used.values())).at_s < oldest_s:
            self._used.popitem(last=False)
