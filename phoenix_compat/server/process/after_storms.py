"""Gives memory back when most of many clients have gone.

The memory of 4 000 clients that have gone is almost free, but Python returns it only in pieces of
1 MiB that are wholly free, and each of them may hold a few small objects that Python keeps for
later. A full collection drops those, and the collector runs rarely here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from typing import Final

from phoenix_compat.accept.connections import Connections
from phoenix_compat.tasks.memory import give_memory_back

log = logging.getLogger(__name__)

MANY: Final = 1_000
"""With fewer clients than that there is little to give back."""
CHECK_S: Final = 2.0
_LEFT: Final = 4
"""At most one in so many is left: the collector looks at all that belongs to them."""


class AfterStorms:
    """Looks every two seconds whether most clients have gone, and then gives memory back.

    Args:
        connections: the connections of the clients.

    Attributes:
        times: how often it gave memory back.
    """

    def __init__(self, connections: Connections) -> None:
        self.times = 0
        self._connections = connections
        self._before = connections.open
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look."""
        self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._check)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self.start()
        connections = self._connections
        still_go, self._before = connections.open < self._before, connections.open
        if connections.peak < MANY or connections.open > connections.peak // _LEFT or still_go:
            return
        began_s = time.perf_counter()
        peak, connections.peak = connections.peak, connections.open
        release_free_memory()
        self.times += 1
        lasted_ms = (time.perf_counter() - began_s) * 1e3
        log.debug("gave memory back after %d clients, in %.0f ms", peak, lasted_ms)


def release_free_memory() -> None:
    """Release what Python and the C library keep for later. Takes a few milliseconds."""
    gc.collect()
    give_memory_back()
