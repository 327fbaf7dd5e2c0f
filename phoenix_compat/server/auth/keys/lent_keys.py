"""Keys that the server lends to commands on its own machine; see `control/access_commands`.

They are in memory only, expire, and allow everything, because whoever may use the control socket
may also read and change the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from phoenix_compat.server.auth.keys.api_keys import ApiKey, new_key, sha256_of
from phoenix_compat.server.auth.principal import Scope

LENT_S: Final = 900.0
"""How long a lent key is valid. A command that takes longer asks for another one."""
MAX_LENT: Final = 256
"""The limit for lent keys; the oldest is dropped first."""
LENT_NAME: Final = ""
"""The name of a lent key. No stored key has it, and the owner of its tasks is nobody."""

_LENT: Final = ApiKey(name=LENT_NAME, scopes=frozenset(Scope))


@dataclass(slots=True)
class LentKeyCounts:
    """What happened to lent keys.

    Attributes:
        lent: keys that were lent.
        dropped: keys that were dropped because there were too many.
    """

    lent: int = 0
    dropped: int = 0


class LentKeys:
    """The keys that are lent now, by their SHA-256.

    Args:
        clock: the time in seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.counts = LentKeyCounts()
        self._clock = clock
        self._expire_s: dict[str, float] = {}

    def lend(self) -> str:
        """A new key."""
        key = new_key()
        self.add(sha256_of(key))
        self.counts.lent += 1
        return key

    def add(self, sha256: str) -> None:
        """Accept a key that was lent here, or by another process of this server."""
        now_s = self._clock()
        self._expire_s = {one: at_s for one, at_s in self._expire_s.items() if at_s > now_s}
        if len(self._expire_s) >= MAX_LENT:
            del self._expire_s[next(iter(self._expire_s))]
            self.counts.dropped += 1
        self._expire_s[sha256] = now_s + LENT_S

    def find(self, sha256: str) -> ApiKey | None:
        """The key with this SHA-256, if it is lent and has not expired."""
        expires_s = self._expire_s.get(sha256)
        return None if expires_s is None or expires_s <= self._clock() else _LENT
