"""Closes websocket clients that do not go on: with what they send, are sent, or with the close.

A client is here only while something of it is incomplete, which is rare or short: a frame usually
arrives whole, the socket buffer usually takes what is written, and clients reply to a close frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from phoenix_compat.accept.send_progress import SendProgress
from phoenix_compat.accept.timer_wheel import TICK_S, TimerWheel

log = logging.getLogger(__name__)

_SAMPLES: Final = 3
"""How often within its time it is looked whether a client takes something."""
_TICKS: Final = 10
"""A timeout is met by a tenth of it late at most, and by a second."""


class Client(Protocol):
    """A websocket connection."""

    @property
    def socket(self) -> Any:
        """The socket, or what the transport shows of it."""

    def frame_timed_out(self) -> None:
        """Close it: what it sends was not complete in time."""

    def close_slow(self) -> None:
        """Close it: it does not take what it is sent."""

    def abort(self) -> None:
        """Drop the connection."""


class SlowSenders:
    """The clients that have begun a frame or a message and not completed it.

    Args:
        timeout_s: how long they may take; None for as long as they like.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self._wheel: TimerWheel[Client] = TimerWheel(_timed_out, _tick_s(timeout_s or TICK_S))

    def __contains__(self, client: Client) -> bool:
        return client in self._wheel

    def add(self, client: Client) -> None:
        """Its time begins now."""
        if self.timeout_s is not None:
            self._wheel.put(client, asyncio.get_running_loop().time() + self.timeout_s)

    def remove(self, client: Client) -> None:
        """It has completed what it began."""
        self._wheel.remove(client)


class SlowReaders:
    """The clients for which something waits to be sent.

    Args:
        timeout_s: how long they may take nothing of it.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._wheel: TimerWheel[Client] = TimerWheel(self._check, _tick_s(timeout_s))
        self._progress: dict[Client, SendProgress] = {}

    def add(self, client: Client) -> None:
        """Something waits from now on, if it did not before."""
        if client not in self._progress:
            now_s = asyncio.get_running_loop().time()
            progress = self._progress[client] = SendProgress()
            progress.stalled_s(client.socket, now_s, 1)
            self._wheel.put(client, now_s + self._timeout_s / _SAMPLES)

    def remove(self, client: Client) -> None:
        """Nothing waits."""
        if self._progress.pop(client, None) is not None:
            self._wheel.remove(client)

    def _check(self, client: Client, now_s: float) -> float | None:
        stalled_s = self._progress[client].stalled_s(client.socket, now_s, 1)
        if stalled_s is None or stalled_s < self._timeout_s:
            return now_s + self._timeout_s / _SAMPLES
        del self._progress[client]
        _close(client, client.close_slow)
        return None


class SlowClosers:
    """The clients that have not completed the closing handshake.

    Args:
        timeout_s: how long they may take.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._wheel: TimerWheel[Client] = TimerWheel(_not_closed, _tick_s(timeout_s or TICK_S))

    def add(self, client: Client) -> None:
        """Its time begins now."""
        self._wheel.put(client, asyncio.get_running_loop().time() + self._timeout_s)

    def remove(self, client: Client) -> None:
        """It is gone."""
        self._wheel.remove(client)


def _not_closed(client: Client, _now_s: float) -> None:
    client.abort()


def _timed_out(client: Client, _now_s: float) -> None:
    _close(client, client.frame_timed_out)


def _close(client: Client, close: Callable[[], None]) -> None:
    try:
        close()
    except Exception:  # a bug ends one connection, not the others' deadlines
        log.exception("cannot close a slow websocket; dropping the connection")
        client.abort()


def _tick_s(timeout_s: float) -> float:
    return min(TICK_S, timeout_s / _TICKS)
