"""How long a run waits: its time limits, times what the machine and the server need.

    pace = Pace()
    async with pace.watching("http://localhost:4001"):
        async with asyncio.timeout(pace.stretch(0.25)):
            await what_must_come

The factor is 1 on a machine that is not busy, with a server that answers within 100 ms. It is
measured when a run begins, grows while the event loop wakes up late, and is never more than
`MAX_FACTOR`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.machine import LoopLateness, processor_slowness
from phoenix_compat.conformance.suite.wire_client import Opcode, WireClient, encode_close

MAX_FACTOR: Final = 20.0
"""A server that does not answer must still fail, however slow everything is."""

_QUICK_ANSWER_S: Final = 0.1
"""Up to here the answers of a server are quick; the usual quiet time is 2.5 times as long."""
_USUAL_LATENESS_S: Final = 0.05
"""Up to here a late event loop does not matter; the usual quiet time is 5 times as long."""

_HEARTBEATS: Final = 4
"""The first of them warms the connection up."""
_HEARTBEATS_LIMIT_S: Final = 5.0
_FIRST_WAKE_UPS: Final = 10
_FIRST_TICK_S: Final = 0.01

_FAILURES = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)


class Pace:
    """The factor of one run.

    Args:
        lateness: measures the event loop.
        slowness: how slow the processor is, 1.0 if it is usual.
        clock: the time in seconds.

    Attributes:
        highest: the highest factor that a time limit has had.
    """

    def __init__(
        self,
        lateness: LoopLateness | None = None,
        slowness: Callable[[], float] = processor_slowness,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.highest = 1.0
        self._lateness = lateness or LoopLateness()
        self._slowness = slowness
        self._clock = clock
        self._at_start = 1.0

    @property
    def factor(self) -> float:
        """How many times longer to wait now, from 1.0 to `MAX_FACTOR`, in steps of 0.1."""
        late = self._lateness.worst_s / _USUAL_LATENESS_S
        return round(min(max(self._at_start, late, 1.0), MAX_FACTOR), 1)

    def stretch(self, limit_s: float) -> float:
        """A time limit for a quick server and a machine that is not busy, as long as it is now."""
        factor = self.factor
        self.highest = max(self.highest, factor)
        return limit_s * factor

    @asynccontextmanager
    async def watching(self, base_url: str) -> AsyncIterator[None]:
        """Measure the machine and the server, then watch the event loop until the block ends."""
        await self.measure(base_url)
        watch = asyncio.create_task(self._lateness.watch())
        try:
            yield
        finally:
            watch.cancel()

    async def measure(self, base_url: str) -> None:
        """Measure the processor, the event loop and how long the server takes to answer.

        A server that does not answer is not a slow one: it leaves the factor as it is.
        """
        slowness = self._slowness()
        answer_s, _ = await asyncio.gather(self._slowest_answer_s(base_url), self._first_wake_ups())
        self._at_start = max(slowness, answer_s / _QUICK_ANSWER_S)

    async def _first_wake_ups(self) -> None:
        for _wake_up in range(_FIRST_WAKE_UPS):
            await self._lateness.sample(_FIRST_TICK_S)

    async def _slowest_answer_s(self, base_url: str) -> float:
        """The slowest answer to a heartbeat on a warm connection; 0.0 if there was none."""
        took_s: list[float] = []
        with suppress(*_FAILURES):  # the cases will report what the server does
            async with asyncio.timeout(_HEARTBEATS_LIMIT_S):
                await self._exchange_heartbeats(base_url, took_s)
        return max(took_s[1:] or took_s, default=0.0)

    async def _exchange_heartbeats(self, base_url: str, took_s: list[float]) -> None:
        client = await WireClient.connect(base_url)
        try:
            prefix = urlsplit(base_url).path.rstrip("/")
            response = await client.handshake(f"{prefix}/socket/websocket?vsn=2.0.0")
            while response.status == 101 and len(took_s) < _HEARTBEATS:
                began_s = self._clock()
                ref = str(len(took_s) + 1)
                await client.send_frame(compact_json([None, ref, "phoenix", "heartbeat", {}]))
                # Nothing was joined, so the next text is the answer.
                while (frame := await client.read_frame(None)) and frame.opcode != Opcode.TEXT:
                    if frame.opcode == Opcode.CLOSE:
                        return
                if frame is None:
                    return
                took_s.append(self._clock() - began_s)
            await client.send_bytes(encode_close(1000))
        finally:
            await client.close()
