"""A connection without a network: a test reads what the client sends, and says what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from phoenix_compat.client.transports.connection import ConnectionLostError
from phoenix_compat.protocol.message import BinaryFrame, Frame
from tests.patience import patient


class FakeConnection:
    """A connection that speaks V2.

    Attributes:
        closed: the code and reason with which it was closed, or None.
        may_send: cleared, it blocks whoever sends.
    """

    max_batch = 64

    def __init__(self, *, has_heartbeats: bool = True) -> None:
        self.has_heartbeats = has_heartbeats
        self.closed: tuple[int, str] | None = None
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.fails = False
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._incoming: asyncio.Queue[bytes | ConnectionLostError] = asyncio.Queue()

    async def receive(self) -> tuple[bytes, bool]:
        """See Connection."""
        data = await self._incoming.get()
        if isinstance(data, ConnectionLostError):
            raise data
        return data, isinstance(data, BinaryFrame)

    async def send(self, frames: Sequence[Frame]) -> None:
        """See Connection."""
        await self.may_send.wait()
        if self.fails:
            raise ConnectionLostError(1006, "cannot write")
        for frame in frames:
            self._sent.put_nowait(frame if isinstance(frame, BinaryFrame) else json.loads(frame))

    async def close(self, code: int, reason: str) -> None:
        """See Connection."""
        self.closed = (code, reason)

    def put(self, message: Any) -> None:
        """Let the client receive a message, or raw bytes."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._incoming.put_nowait(data)

    def lose(self, code: int = 1006) -> None:
        """Let the connection end."""
        self._incoming.put_nowait(ConnectionLostError(code, "lost by the test"))

    async def sent(self) -> Any:
        """The next message that the client has sent."""
        async with asyncio.timeout(patient(5.0)):
            return await self._sent.get()

    @property
    def has_sent_all(self) -> bool:
        """Whether the test has read all that was sent."""
        return self._sent.empty()

    async def accept(self, response: Any = None) -> list[Any]:
        """Answer the next message with ok; returns the message."""
        message: list[Any] = await self.sent()
        join_ref, ref, topic = message[:3]
        reply = {"status": "ok", "response": {} if response is None else response}
        self.put([join_ref, ref, topic, "phx_reply", reply])
        return message
