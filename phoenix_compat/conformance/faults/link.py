"""One websocket of a client: messages go out in order, whole, in fragments or byte by byte.

Writes go to the TCP transport itself, so that nothing is repaired on the way; reading is aiohttp's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Any, Final, Literal

from phoenix_compat.conformance.faults.record import Kind, Record
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
"""In the queue: the connection is dropped here."""


class Shape(Enum):
    """How a message travels."""

    WHOLE = auto()
    FRAGMENTS = auto()
    SEGMENTS = auto()


class Link:
    """One client's websocket, after its upgrade.

    A client that reads too slowly, or makes more wait than can be kept, is dropped with a note.

    Attributes:
        number: counts the client's attempts.
        shape: how messages travel from now on.
        is_silent: heartbeats are not answered any more.
        is_deaf: nothing is answered or sent any more.
        is_closing: the server sent its close frame.
    """

    def __init__(
        self, record: Record, number: int, serializer: Serializer, transport: asyncio.Transport
    ) -> None:
        self.number = number
        self.serializer = serializer
        self.shape = Shape.WHOLE
        self.is_silent = False
        self.is_deaf = False
        self.is_closing = False
        self.was_reset = False
        self._record = record
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[list[bytes]] = asyncio.Queue(_MAX_QUEUED_FRAMES)
        self._pending: set[asyncio.TimerHandle] = set()
        self._writer = self._loop.create_task(self._write())

    @property
    def is_gone(self) -> bool:
        """Whether the TCP connection is over."""
        return self._transport.is_closing()

    def push(self, join_ref: Any, topic: str, event: str, payload: Any, ref: Any = None) -> None:
        """Send a message of a channel."""
        message = Message(join_ref, ref, topic, event, payload)
        self._send(message, lambda: self.serializer.encode(message))

    def reply(self, join_ref: Any, ref: Any, topic: str, status: str, response: Any) -> None:
        """Send the answer to a message."""
        payload = {"status": status, "response": _named(response)}
        shown = Message(join_ref, ref, topic, PHX_REPLY, payload)
        self._send(
            shown, lambda: self.serializer.encode_reply(join_ref, ref, topic, status, response)
        )

    def broadcast(self, topic: str, event: str, payload: Any) -> None:
        """Send a message as all subscribers of a topic get it."""
        broadcast = Broadcast(topic, event, payload)
        shown = Message(None, None, topic, event, payload)
        self._send(shown, lambda: self.serializer.fastlane(broadcast))

    def ping(self, data: bytes) -> None:
        """Send a websocket ping."""
        self._enqueue([_server_frame(data, Opcode.PING)])

    def pong(self, data: bytes) -> None:
        """Answer a websocket ping."""
        self._enqueue([_server_frame(data, Opcode.PONG)])

    def close(self, code: int) -> None:
        """Send a close frame, and reset the connection if the client does not answer it."""
        if self.is_closing:
            return
        self._enqueue([_server_frame(code.to_bytes(2), Opcode.CLOSE)])
        self.is_closing = True
        self._record.note(Kind.CLOSING, self.number, code=code)
        self.later(_CLOSE_TIMEOUT_S, self.reset)

    def answer_close(self, code: int) -> None:
        """The client closed, or answered our close frame: end the TCP connection."""
        if not self.is_closing and not self.is_deaf:
            payload = b"" if code == 0 else code.to_bytes(2)
            self._transport.write(_server_frame(payload, Opcode.CLOSE))
        self._transport.close()

    def drop(self) -> None:
        """Drop the TCP connection without a word, after what was already said."""
        self._enqueue(_DROP)
        self.is_deaf = True

    def reset(self) -> None:
        """Drop the TCP connection at once."""
        self.was_reset = True
        self._transport.abort()

    def later(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        """Do something after a while, if the connection is still there; at once for no delay."""
        if delay_s <= 0:
            act(*args)
            return
        if len(self._pending) >= _MAX_PENDING:
            self._record.note(Kind.STRUCK, self.number, note="too many late answers: reset")
            self.reset()
            return

        def act_now() -> None:
            self._pending.discard(handle)
            act(*args)

        handle = self._loop.call_later(delay_s, act_now)
        self._pending.add(handle)

    def ended(self) -> None:
        """The connection is over: what was still to come does not."""
        for handle in self._pending:
            handle.cancel()
        self._pending.clear()
        self._writer.cancel()

    def _send(self, message: Message, encode: Callable[[], Frame]) -> None:
        if self.is_deaf or self.is_closing:
            return
        try:
            frame = encode()
        except EncodeError as error:  # the client's own topic or ref, as in Phoenix: 1011
            self._record.note(Kind.UNREADABLE, self.number, topic=message.topic, note=str(error))
            self.close(CLOSE_INTERNAL_ERROR)
            return
        self._record.note(
            Kind.SENT,
            self.number,
            topic=message.topic,
            event=message.event,
            join_ref=message.join_ref,
            ref=message.ref,
            payload=message.payload,
        )
        self._enqueue(list(_pieces(frame, self.shape)))

    def _enqueue(self, pieces: list[bytes]) -> None:
        if self.is_closing:
            return
        try:
            self._queue.put_nowait(pieces)
        except asyncio.QueueFull:
            self._record.note(Kind.STRUCK, self.number, note="too many frames queued: reset")
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
                self._record.note(Kind.STRUCK, self.number, note="client reads too slowly: reset")
                self.reset()


def _pieces(frame: Frame, shape: Shape) -> Iterator[bytes]:
    """The writes that carry a message; there is a pause between two of them."""
    opcode: Literal[Opcode.BINARY, Opcode.TEXT] = (
        Opcode.BINARY if isinstance(frame, BinaryFrame) else Opcode.TEXT
    )
    match shape:
        case Shape.WHOLE:
            yield _server_frame(frame, opcode)
        case Shape.FRAGMENTS:
            third = max(1, len(frame) // 3)
            yield _server_frame(frame[:third], opcode, is_final=False)
            middle = frame[third : 2 * third]
            yield _server_frame(middle, Opcode.CONTINUATION, is_final=False)
            yield _server_frame(b"between", Opcode.PING)
            yield _server_frame(frame[2 * third :], Opcode.CONTINUATION)
        case Shape.SEGMENTS:
            data = _server_frame(frame, opcode)
            middle_at = len(data) // 2
            yield data[:1]
            yield data[1:middle_at]
            yield data[middle_at:-1]
            yield data[-1:]


def _server_frame(payload: bytes, opcode: int, *, is_final: bool = True) -> bytes:
    return encode_frame(payload, opcode, is_final=is_final, mask=None)


def _named(response: Any) -> Any:
    """Bytes have no place in a record: their number has."""
    return {"bytes": len(response)} if isinstance(response, bytes) else response
