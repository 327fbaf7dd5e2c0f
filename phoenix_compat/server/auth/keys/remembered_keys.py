"""Remembers for a few seconds which keys another process has found, and which it has not."""

from __future__ import annotations

from typing import Final, NamedTuple

from phoenix_compat.server.auth.keys.api_keys import ApiKey

REMEMBER_S: Final = 5.0
MAX_REMEMBERED: Final = 10_000
"""The limit for keys that were found, and for those that were not."""


class Answer(NamedTuple):
    """What is remembered about a key: the key, or that it is unknown or revoked."""

    key: ApiKey | None


class RememberedKeys:
    """Answers by the SHA-256 of the key; the oldest are dropped when there are too many.

    Answers about keys that were not found are apart, so that guesses cannot push out real keys.
    It is told the time.
    """

    def __init__(
        self, *, remember_s: float = REMEMBER_S, max_remembered: int = MAX_REMEMBERED
    ) -> None:
        self._remember_s = remember_s
        self._max_remembered = max_remembered
        self._found: dict[str, tuple[ApiKey, float]] = {}
        self._not_found: dict[str, float] = {}

    def __len__(self) -> int:
        """How many answers are remembered, expired ones included."""
        return len(self._found) + len(self._not_found)

    def get(self, sha256: str, now_s: float) -> Answer | None:
        """The answer about a key; None if it must be asked for."""
        found = self._found.get(sha256)
        if found is not None and now_s < found[1]:
            return Answer(found[0])
        expires_s = self._not_found.get(sha256)
        return Answer(None) if expires_s is not None and now_s < expires_s else None

    def put(self, sha256: str, key: ApiKey | None, now_s: float) -> None:
        """Remember an answer."""
        self._found.pop(sha256, None)
        self._not_found.pop(sha256, None)
        expires_s = now_s + self._remember_s
        if key is None:
            self._not_found[sha256] = expires_s
            _drop_oldest(self._not_found, self._max_remembered)
        else:
            self._found[sha256] = (key, expires_s)
            _drop_oldest(self._found, self._max_remembered)

    def clear(self) -> None:
        """Forget all answers."""
        self._found.clear()
        self._not_found.clear()


def _drop_oldest(answers: dict[str, tuple[ApiKey, float]] | dict[str, float], limit: int) -> None:
    """Drop the first, which was put first."""
    if len(answers) > limit:
        del answers[next(iter(answers))]
