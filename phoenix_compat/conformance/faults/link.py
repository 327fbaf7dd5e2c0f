"""Sends to one websocket: messages go out in order, whole, in fragments or in TCP segments.

It writes to the TCP transport directly, because aiohttp would correct the faults. aiohttp reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Any, Final, Literal

from phoenix_compat.conformance.faults.record import EntryKind, Record
from phoenix_compat.conformance.suite.wire_client import Opcode, encode_frame
from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol.frame import CLOSE_INTERNAL_ERROR
from phoenix_compat.protocol.message import PHX_REPLY, BinaryFrame, Broadcast, Frame, Message
from phoenix_compat.protocol.serializer import Serializer

_MAX_QUEUED_FRAMES: Final = 1_000
_MAX_PENDING: Final = 500
_MAX_UNSENT_BYTES: Final = 4 * 1024 * 1024
_BETWEEN_SEGMENTS_S: Final = 0.01
_CLOSE_TIMEOUT_S: Final = 2.0
_DROP: Final[list[bytes]] = []
"""A queue entry that drops the connection when its turn comes."""


class Framing(Enum):
    """How messages are split on their way."""

    WHOLE = auto()
    FRAGMENTS = auto()
    SEGMENTS = auto()


class Link:
    """One client's websocket, after its upgrade.

    A client that reads too slowly, or has too many answers pending, is reset; the record says so.

    Attributes:
        number: the number of the client's attempt to connect, from 1.
        token: a digest of the token with which it connected; empty if there was none.
        framing: how messages are split from now on.
        ignores_heartbeats: whether heartbeats are no longer answered.
        is_unresponsive: whether nothing is answered or sent any more.
        is_closing: whether the server has sent its close frame.
    """

    def __init__(
        self, record: Record, number: int, serializer: Serializer, transport: asyncio.Transport
    ) -> None:
        self.number = number
        self.token = b""
        self.serializer = serializer
        self.framing = Framing.WHOLE
        self.ignores_heartbeats = False
        self.is_unresponsive = False
        self.is_closing = False
        self.was_reset = False
        self._record = record
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[list[bytes]] = asyncio.Queue(_MAX_QUEUED_FRAMES)
        self._pending: set[asyncio.TimerHandle] = set()
        self._writer = self._loop.create_task(self._write())

    @property
    def is_closed(self) -> bool:
        """Whether the TCP connection is closed."""
        return self._transport.is_closing()

    def push(self, join_ref: Any, topic: str, event: str, payload: Any, ref: Any = None) -> None:
        """Send a push of a channel."""
        message = Message(join_ref, ref, topic, event, payload)
        self._send(message, lambda: self.serializer.encode(message))

    def reply(self, join_ref: Any, ref: Any, topic: str, status: str, response: Any) -> None:
        """Send the reply to a message."""
        payload = {"status": status, "response": _recorded(response)}
        recorded = Message(join_ref, ref, topic, PHX_REPLY, payload)
        self._send(
            recorded, lambda: self.serializer.encode_reply(join_ref, ref, topic, status, response)
        )

    def broadcast(self, topic: str, event: str, payload: Any) -> None:
        """Send a broadcast, as every subscriber of a topic gets it."""
        broadcast = Broadcast(topic, event, payload)
        recorded = Message(None, None, topic, event, payload)
        self._send(recorded, lambda: self.serializer.fastlane(broadcast))

    def ping(self, data: bytes) -> None:
        """Send a websocket ping."""
        self._enqueue([_server_frame(data, Opcode.PING)])

    def pong(self, data: bytes) -> None:
        """Answer a websocket ping."""
        self._enqueue([_server_frame(data, Opcode.PONG)])

    def close(self, code: int) -> None:
        """Send a close frame; if the client does not answer it in time, reset the connection."""
        if self.is_closing:
            return
        self._enqueue([_server_frame(code.to_bytes(2), Opcode.CLOSE)])
        self.is_closing = True
        self._record.note(EntryKind.CLOSING, self.number, code=code)
        self.later(_CLOSE_TIMEOUT_S, self.reset)

    def answer_close(self, code: int) -> None:
        """End the TCP connection after a close frame of the client, which may answer ours."""
        if not self.is_closing and not self.is_unresponsive:
            payload = b"" if code == 0 else code.to_bytes(2)
            self._transport.write(_server_frame(payload, Opcode.CLOSE))
        self._transport.close()

    def drop(self) -> None:
        """Reset the TCP connection once the queued messages are sent."""
        self._enqueue(_DROP)
        self.is_unresponsive = True

    def reset(self) -> None:
        """Reset the TCP connection at once."""
        self.was_reset = True
        self._transport.abort()

    def later(self, delay_s: float, function: Callable[..., None], *args: Any) -> None:
        """Call a function after a delay, unless the connection ends before; 0 calls it at once."""
        if delay_s <= 0:
            function(*args)
            return
        if len(self._pending) >= _MAX_PENDING:
            self._record.note(EntryKind.STRUCK, self.number, note="too many late answers: reset")
            self.reset()
            return

        def run() -> None:
            self._pending.discard(handle)
            function(*args)

        handle = self._loop.call_later(delay_s, run)
        self._pending.add(handle)

    def stop(self) -> None:
        """Cancel whatever is still pending: the connection has ended."""
        for handle in self._pending:
            handle.cancel()
        self._pending.clear()
        self._writer.cancel()

    def _send(self, message: Message, encode: Callable[[], Frame]) -> None:
        if self.is_unresponsive or self.is_closing:
            return
        try:
            frame = encode()
        except (
            EncodeError
        ) as error:  # Phoenix closes with 1011 if the client's topic or ref does not fit
            self._record.note(
                EntryKind.UNREADABLE, self.number, topic=message.topic, note=str(error)
            )
            self.close(CLOSE_INTERNAL_ERROR)
            return
        self._record.note(
            EntryKind.SENT,
            self.number,
            topic=message.topic,
            event=message.event,
            join_ref=message.join_ref,
            ref=message.ref,
            payload=message.payload,
        )
        self._enqueue(list(_pieces(frame, self.framing)))

    def _enqueue(self, pieces: list[bytes]) -> None:
        if self.is_closing:
            return
        try:
            self._queue.put_nowait(pieces)
        except asyncio.QueueFull:
            self._record.note(EntryKind.STRUCK, self.number, note="too many frames queued: reset")
            self.reset()

    async def _write(self) -> None:
        while True:
            pieces = await self._queue.get()
            if pieces is _DROP:
                self.reset()
            for index, piece in enumerate(pieces):
                if index:
                    await asyncio.sleep(_BETWEEN_SEGMENTS_S)
                if self._transport.is_closing():
                    return
                self._transport.write(piece)
            if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
                self._record.note(
                    EntryKind.STRUCK, self.number, note="client reads too slowly: reset"
                )
                self.reset()


def _pieces(frame: Frame, framing: Framing) -> Iterator[bytes]:
    """The writes that carry one message; there is a pause after each of them."""
    opcode: Literal[Opcode.BINARY, Opcode.TEXT] = (
        Opcode.BINARY if isinstance(frame, BinaryFrame) else Opcode.TEXT
    )
    match framing:
        case Framing.WHOLE:
            yield _server_frame(frame, opcode)
        case Framing.FRAGMENTS:
            third = max(1, len(frame) // 3)
            yield _server_frame(frame[:third], opcode, is_final=False)
            middle = frame[third : 2 * third]
            yield _server_frame(middle, Opcode.CONTINUATION, is_final=False)
            yield _server_frame(b"between", Opcode.PING)
            yield _server_frame(frame[2 * third :], Opcode.CONTINUATION)
        case Framing.SEGMENTS:
            data = _server_frame(frame, opcode)
            middle_at = len(data) // 2
            yield data[:1]
            yield data[1:middle_at]
            yield data[middle_at:-1]
            yield data[-1:]


def _server_frame(payload: bytes, opcode: int, *, is_final: bool = True) -> bytes:
    return encode_frame(payload, opcode, is_final=is_final, mask=None)


def _recorded(response: Any) -> Any:
    """The response as it is recorded: of bytes only their number."""
    return {"bytes": len(response)} if isinstance(response, bytes) else response
