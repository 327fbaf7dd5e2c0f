"""One connection of a load: it joins a topic, sends on schedule, and checks what it receives."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import msgspec

from phoenix_compat.conformance.load.generator import Generator
from phoenix_compat.conformance.load.histogram import Histogram
from phoenix_compat.conformance.load.sequence import Sequence

_HEARTBEAT_S: Final = 25.0
_JOIN_REF: Final = "1"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class JoinError(Exception):
    """The server did not accept the connection or the join; the text says how."""


class LoadClient:
    """One connection.

    Args:
        echo_latency, broadcast_latency: where the durations are recorded.
        padding: what each payload has besides its number.
        clock: the time in seconds.

    Attributes:
        topic: the topic it joins.
        echoes, broadcasts: what has come back to it, by number.
        echoes_sent, broadcasts_sent: how many it has sent.
        altered: how many messages came with another payload than was sent.
        end: how the connection or its channel ended; None while it has not.
    """

    def __init__(  # noqa: PLR0913 - what it shares with the others
        self,
        socket: aiohttp.ClientWebSocketResponse,
        topic: str,
        *,
        echo_latency: Histogram,
        broadcast_latency: Histogram,
        padding: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = topic
        self.echoes = Sequence()
        self.broadcasts = Sequence()
        self.echoes_sent = 0
        self.broadcasts_sent = 0
        self.altered = 0
        self.end: str | None = None
        self._socket = socket
        self._echo_latency = echo_latency
        self._broadcast_latency = broadcast_latency
        self._padding = padding
        self._clock = clock
        self._is_closing = False
        self._heartbeats = 0

    async def join(self, timeout_s: float) -> None:
        """Join the topic.

        Raises:
            JoinError: it was refused.
        """
        await self._send([_JOIN_REF, _JOIN_REF, self.topic, "phx_join", {}])
        message = await self._socket.receive(timeout_s)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise JoinError(f"closed with {self._socket.close_code} during the join")
        payload = _decode(message.data)[4]
        if payload.get("status") != "ok":
            raise JoinError(f"join refused with {payload}")

    async def receive(self) -> None:
        """Check what comes, until the connection ends."""
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._on_text(message.data)
            if self.end is not None:
                return
        if not self._is_closing:
            self.end = f"closed with {self._socket.close_code}"

    async def send_echoes(
        self, first_s: float, interval_s: float, until_s: float, generator: Generator
    ) -> None:
        """Send an echo at each of these times; those that are late still, until cancelled."""

        async def send() -> None:
            number = self.echoes_sent
            self.echoes_sent += 1
            payload = {"n": number, "at": self._clock(), "pad": self._padding}
            await self._send([_JOIN_REF, f"e{number}", self.topic, "echo", payload])

        await self._keep_schedule(send, first_s, interval_s, until_s, generator)

    async def send_broadcasts(
        self, first_s: float, interval_s: float, until_s: float, generator: Generator
    ) -> None:
        """Broadcast at each of these times, likewise."""

        async def send() -> None:
            number = self.broadcasts_sent
            self.broadcasts_sent += 1
            payload = {"n": number, "at": self._clock(), "pad": self._padding}
            await self._send([_JOIN_REF, f"b{number}", self.topic, "broadcast", payload])

        await self._keep_schedule(send, first_s, interval_s, until_s, generator)

    async def send_heartbeats(self) -> None:
        """Send them as phoenix.js does, until the connection ends or this is cancelled."""
        while self.end is None:
            await asyncio.sleep(_HEARTBEAT_S)
            self._heartbeats += 1
            await self._send([None, f"h{self._heartbeats}", "phoenix", "heartbeat", {}])

    async def close(self) -> None:
        """Close the connection."""
        self._is_closing = True
        await self._socket.close()

    async def _keep_schedule(
        self,
        send: Callable[[], Awaitable[None]],
        first_s: float,
        interval_s: float,
        until_s: float,
        generator: Generator,
    ) -> None:
        due_s, free_s, is_writing = first_s, 0.0, False
        try:
            while due_s < until_s and self.end is None:
                # A turn of the loop for the others, even if it is late already.
                await asyncio.sleep(max(due_s - self._clock(), 0.0))
                began_s = self._clock()
                # What waited for the server to read is not late through our fault.
                late_s = began_s - max(due_s, free_s)
                is_writing = True
                await send()
                is_writing = False
                free_s = self._clock()
                generator.record(late_s)
                due_s += interval_s
        finally:
            if self.end is None and due_s < until_s:
                count = math.ceil((until_s - due_s) / interval_s)
                generator.skip(count, is_held_back=is_writing)

    async def _send(self, message: list[Any]) -> None:
        try:
            await self._socket.send_str(_encode(message).decode())
        except (ConnectionError, aiohttp.ClientError):
            if self.end is None:
                self.end = f"closed with {self._socket.close_code or 1006}"

    def _on_text(self, text: str) -> None:
        try:
            _join_ref, ref, topic, event, payload = _decode(text)
            if event == "phx_reply" and isinstance(ref, str) and ref.startswith("e"):
                self._record(self.echoes, self._echo_latency, payload["response"])
            elif event == "msg":
                self._record(self.broadcasts, self._broadcast_latency, payload)
            elif event in {"phx_error", "phx_close"} and topic == self.topic:
                self.end = str(event)
        except (ValueError, TypeError, KeyError):  # another form than a message has
            self.altered += 1

    def _record(self, sequence: Sequence, latency: Histogram, payload: Any) -> None:
        number, at_s, padding = payload["n"], payload["at"], payload["pad"]
        self.altered += padding != self._padding
        latency.record(self._clock() - at_s)
        sequence.record(number)
