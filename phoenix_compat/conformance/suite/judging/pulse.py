"""Asks the server for heartbeats on a connection of its own, and times the answers.

The answers say how quick the server is now: whether its silence elsewhere means anything.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.wire_client import Opcode, WireClient, encode_close

FAILURES: Final = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)
"""The errors that a server or the network can cause."""

MUTE_AFTER_S: Final = 15.0
"""A server that is silent for longer is not slow: it does not answer."""

_QUERY: Final = "vsn=2.0.0&user=pulse"
_INTERVAL_S: Final = 0.1
_KEPT_S: Final = 1.0
"""Answers that count: those of the last second."""
_MAX_REFUSALS: Final = 20
"""A server that answers nothing on so many connections in a row is no longer asked."""
_RECONNECT_S: Final = 0.5


class Heartbeats:
    """A websocket on which nothing is joined, so that the next text answers the heartbeat."""

    def __init__(self, client: WireClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(
        cls, base_url: str, query: str = "vsn=2.0.0"
    ) -> AsyncIterator[Heartbeats | None]:
        """Connect to `/socket`; yields None if the server refuses. Raises `FAILURES`."""
        client = await WireClient.connect(base_url)
        try:
            prefix = urlsplit(base_url).path.rstrip("/")
            response = await client.handshake(f"{prefix}/socket/websocket?{query}")
            yield cls(client) if response.status == 101 else None
            await client.send_bytes(encode_close(1000))
        finally:
            await client.close()

    async def ask(self, ref: str) -> bool:
        """Send a heartbeat and wait for its answer; False if the connection has ended."""
        await self._client.send_frame(compact_json([None, ref, "phoenix", "heartbeat", {}]))
        while (frame := await self._client.read_frame(None)) and frame.opcode != Opcode.TEXT:
            if frame.opcode == Opcode.CLOSE:
                return False
        return frame is not None


class Pulse:
    """How long the server takes to answer.

    Args:
        on_answer: called with the seconds that each answer took.
        clock: the time in seconds.

    Attributes:
        has_answered: whether there was an answer; before the first, waiting for one means nothing.
    """

    def __init__(
        self,
        on_answer: Callable[[float], None] = lambda _took_s: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.has_answered = False
        self._on_answer = on_answer
        self._clock = clock
        self._recent: deque[tuple[float, float]] = deque()
        self._asked_at_s: float | None = None

    @property
    def slowest_s(self) -> float:
        """The slowest of the recent answers, or how long the next one is awaited; 0.0 if none."""
        now_s = self._clock()
        while self._recent and self._recent[0][0] < now_s - _KEPT_S:
            self._recent.popleft()
        return max([self.awaited_s, *(took_s for _at_s, took_s in self._recent)])

    @property
    def awaited_s(self) -> float:
        """How long an answer has been awaited; 0.0 if none is, or if the server is mute."""
        if self._asked_at_s is None or not self.has_answered:
            return 0.0
        awaited_s = self._clock() - self._asked_at_s
        return awaited_s if awaited_s <= MUTE_AFTER_S else 0.0

    async def watch(self, base_url: str) -> None:
        """Ask ten times a second until cancelled, or until the server has refused too often."""
        refusals = 0
        while refusals < _MAX_REFUSALS:
            refusals += 1
            with suppress(*FAILURES):  # the cases will report what the server does
                async with Heartbeats.open(base_url, _QUERY) as heartbeats:
                    while heartbeats and await self._ask(heartbeats):
                        refusals = 0
                        await asyncio.sleep(_INTERVAL_S)
            await asyncio.sleep(_RECONNECT_S)

    async def _ask(self, heartbeats: Heartbeats) -> bool:
        self._asked_at_s = began_s = self._clock()
        try:
            is_answered = await heartbeats.ask("pulse")
        finally:
            self._asked_at_s = None
        if is_answered:
            self.has_answered = True
            now_s = self._clock()
            self._recent.append((now_s, now_s - began_s))
            self._on_answer(now_s - began_s)
        return is_answered
