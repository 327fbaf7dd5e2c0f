"""Closes websocket clients that take nothing of what they are sent.

What the system knows of a client's connection is not visible through ASGI. So a client makes
progress here whenever the server takes a message for it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from phoenix_compat.accept.timer_wheel import TICK_S, TimerWheel

log = logging.getLogger(__name__)

_CHECKS: Final = 3
"""How often within its time it is checked whether the server has taken something for a client."""
_TICKS: Final = 10
"""A timeout is met by a tenth of it late at most, and by a second."""


class Client(Protocol):
    """A websocket connection."""

    @property
    def is_sending(self) -> bool:
        """Whether something waits to be sent."""

    @property
    def sent(self) -> int:
        """How many messages the server has taken."""

    def close_slow(self) -> None:
        """Close it: it does not take what it is sent."""

    def abort(self) -> None:
        """Drop the connection."""


class StalledSends:
    """The clients for which something waits to be sent.

    Args:
        timeout_s: how long they may take nothing of it.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        tick_s = min(TICK_S, timeout_s / _TICKS)
        self._wheel: TimerWheel[Client] = TimerWheel(self._check, tick_s)
        self._progress: dict[Client, tuple[int, float]] = {}

    def __contains__(self, client: Client) -> bool:
        return client in self._progress

    def add(self, client: Client) -> None:
        """Something waits from now on, if it did not before."""
        if client not in self._progress:
            now_s = asyncio.get_running_loop().time()
            self._progress[client] = (client.sent, now_s)
            self._wheel.put(client, now_s + self._timeout_s / _CHECKS)

    def remove(self, client: Client) -> None:
        """Nothing waits, or the client has disconnected."""
        if self._progress.pop(client, None) is not None:
            self._wheel.remove(client)

    def _check(self, client: Client, now_s: float) -> float | None:
        sent, since_s = self._progress[client]
        if not client.is_sending:
            del self._progress[client]
            return None
        if client.sent != sent:
            self._progress[client] = (client.sent, now_s)
        elif now_s - since_s >= self._timeout_s:
            del self._progress[client]
            self._close(client)
            return None
        return now_s + self._timeout_s / _CHECKS

    def _close(self, client: Client) -> None:
        try:
            client.close_slow()
        except Exception:  # a bug ends one connection, not the others' deadlines
            log.exception("cannot close a slow websocket; dropping the connection")
            client.abort()
