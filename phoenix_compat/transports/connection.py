"""One websocket after its handshake: bytes in, frames to the socket server, the outbox's bytes out.

All connections of a mount receive into one buffer, because only one of them is read at a time; a
connection keeps bytes of its own only while a frame is incomplete, or while a join blocks it.

    OPEN     client's close frame    answer it, close the TCP connection             → DEAF
    OPEN     close(), timeout        send a close frame, close our half              → CLOSING
    OPEN     unreadable bytes        the same, and read nothing more                 → DEAF
    CLOSING  client's close frame    close the TCP connection                        → DEAF
    CLOSING, DEAF                    aborted after close_timeout_s, if still there
    any      the TCP connection ends                                                 → LOST

Source: bandit 1.12.5, lib/bandit/websocket/connection.ex; RFC 6455 §5.5 and §7.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto
from typing import Protocol

from aiohttp._websocket.helpers import websocket_mask  # the C routine; aiohttp exports it nowhere

from phoenix_compat.endpoint import Endpoint, WebSocketOptions
from phoenix_compat.errors import EncodeError, RemoteProtocolError
from phoenix_compat.protocol.frame import (
    CLOSE,
    CLOSE_INTERNAL_ERROR,
    CLOSE_INVALID_PAYLOAD,
    CLOSE_PROTOCOL_ERROR,
    CLOSE_SERVICE_RESTART,
    CLOSE_TRY_AGAIN_LATER,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Assembler,
    RawFrame,
    close_answer,
    close_frame,
    read_frame,
    write_frame,
)
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.result import Reason
from phoenix_compat.runtime.outbox import Outbox, WebSocketWire
from phoenix_compat.runtime.socket_server import Route, SocketServer
from phoenix_compat.socket import Socket

log = logging.getLogger(__name__)


class Hub(Protocol):
    """What the connections of one mount share."""

    endpoint: Endpoint
    options: WebSocketOptions
    routes: TopicRoutes[Route]
    buffer: bytearray
    view: memoryview
    sweeps: int

    def gone(self, connection: WebSocketConnection) -> None:
        """The connection is lost."""


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()
    DEAF = auto()
    LOST = auto()


class WebSocketConnection(asyncio.BufferedProtocol):
    """One client's websocket. See the module.

    Attributes:
        heard_at_sweep: the hub's count of sweeps when the client was last heard.
    """

    __slots__ = (
        "_assembler",
        "_hub",
        "_outbox",
        "_partial",
        "_server",
        "_state",
        "_timer",
        "_transport",
        "heard_at_sweep",
    )

    def __init__(
        self, hub: Hub, transport: asyncio.Transport, serializer: Serializer, socket: Socket
    ) -> None:
        endpoint = hub.endpoint
        self.heard_at_sweep = hub.sweeps
        self._hub = hub
        self._transport = transport
        self._state = _State.OPEN
        self._partial: bytearray | None = None
        self._assembler: Assembler | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._outbox = Outbox(
            endpoint.wire(WebSocketWire, serializer),
            transport,
            endpoint.limits.max_outbox_bytes,
            self._overflowed,
        )
        self._server = SocketServer(endpoint, hub.routes, socket, self._outbox, self)

    # Bytes in: asyncio.BufferedProtocol.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Receive into the buffer that all share."""
        del sizehint
        return self._hub.view

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes were received."""
        hub = self._hub
        self.heard_at_sweep = hub.sweeps
        partial = self._partial
        if partial is None:
            self._consume(hub.buffer, nbytes)
        else:
            partial += hub.view[:nbytes]
            self._consume(partial, len(partial))

    def feed(self, data: bytes) -> None:
        """Take bytes that were received before this was the transport's protocol."""
        self._consume(bytearray(data), len(data))

    def _consume(self, buffer: bytearray, end: int) -> None:
        """Handle every whole frame of `buffer[:end]`, and keep the rest."""
        start = 0
        try:
            while self._is_reading:
                frame = read_frame(
                    buffer, start, end, self._hub.options.max_frame_bytes, websocket_mask
                )
                if frame is None:
                    break
                start = frame.end
                if start < end:
                    self._outbox.detach()  # more is to come: answer all of it in one write
                self._take(frame)
        except RemoteProtocolError as error:
            log.info("closing a connection with %d: %s", error.close_code, error)
            self.close(error.close_code, error)
            self._state = _State.DEAF
        except EncodeError as error:
            log.exception("closing a connection: its answer cannot be encoded")
            self.close(CLOSE_INTERNAL_ERROR, error)
        self._keep(buffer, start, end)

    @property
    def _is_reading(self) -> bool:
        if self._state is _State.OPEN:
            return not self._server.is_blocked
        return self._state is _State.CLOSING

    def _keep(self, buffer: bytearray, start: int, end: int) -> None:
        if start == end or self._state in {_State.DEAF, _State.LOST}:
            self._partial = None
        elif start or buffer is not self._partial:
            self._partial = buffer[start:end]
        if self._state is _State.OPEN and self._server.is_blocked:
            self._transport.pause_reading()

    def unblocked(self) -> None:
        """A join is answered: go on with what the client sent meanwhile."""
        if self._state is not _State.OPEN:
            return
        partial, self._partial = self._partial, None
        if partial is not None:
            self._consume(partial, len(partial))
        if not self._server.is_blocked:
            self.heard_at_sweep = self._hub.sweeps
            self._transport.resume_reading()

    # Frames.

    def _take(self, frame: RawFrame) -> None:
        opcode = frame.opcode
        if opcode == CLOSE:
            self._client_closes(frame.payload)
        elif self._state is not _State.OPEN:
            pass  # what else it sent before it knew that this is over
        elif opcode >= CLOSE:
            if opcode == PING:
                self._outbox.send(write_frame(PONG, frame.payload))
        elif frame.is_final and opcode != CONTINUATION and self._assembler is None:
            self._receive(opcode, frame.payload)
        else:
            self._take_fragment(frame)

    def _take_fragment(self, frame: RawFrame) -> None:
        if self._assembler is None:
            self._assembler = Assembler(self._hub.options.max_message_bytes)
        complete = self._assembler.add(frame)
        if complete is not None:
            self._assembler = None
            self._receive(*complete)

    def _receive(self, opcode: int, payload: bytearray) -> None:
        if opcode != TEXT:
            self._server.receive(payload, is_binary=True)
            return
        if not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError as error:
                raise RemoteProtocolError("text is not UTF-8", CLOSE_INVALID_PAYLOAD) from error
        self._server.receive(payload, is_binary=False)

    # The end.

    def _client_closes(self, payload: bytearray) -> None:
        """The client closes, or answers our close frame: the TCP connection can go."""
        if self._state is _State.OPEN:
            self._begin_to_close(close_answer(payload), ("shutdown", "closed"))
        self._state = _State.DEAF
        self._transport.close()

    def close(self, code: int, reason: Reason) -> None:
        """Close towards the client with this code, and end its channels for this reason."""
        if self._state is not _State.OPEN:
            return
        self._begin_to_close(code, reason)
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        self._transport.resume_reading()  # to see the client go

    def _begin_to_close(self, code: int, reason: Reason) -> None:
        self._state = _State.CLOSING
        self._outbox.close(close_frame(code))
        self._server.closed(reason)
        limits = self._hub.endpoint.limits
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(limits.close_timeout_s, self._transport.abort)

    def timed_out(self) -> None:
        """The client was silent for too long. While its own join blocks it, it cannot be heard."""
        if not self._server.is_blocked:
            self.close(CLOSE_PROTOCOL_ERROR, ("shutdown", "timeout"))

    @property
    def joined_topics(self) -> int:
        """How many channels are joined."""
        return self._server.joined_topics

    def drain(self) -> None:
        """The server restarts: no word to the channels' clients but the close code."""
        self.close(CLOSE_SERVICE_RESTART, ("shutdown", "draining"))

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def _overflowed(self) -> None:
        """The outbox is full: not now, because a lane is being written."""
        self._hub.endpoint.counters.slow_clients_closed += 1
        asyncio.get_running_loop().call_soon(
            self.close, CLOSE_TRY_AGAIN_LATER, ("shutdown", "slow")
        )

    # asyncio.BaseProtocol.

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        self._outbox.pause()

    def resume_writing(self) -> None:
        """It caught up."""
        self._outbox.resume()

    def eof_received(self) -> None:
        """The client is done; the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        del exc
        self._state = _State.LOST
        self._partial = None
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.discard()
        self._server.closed(("shutdown", "closed"))
        self._hub.gone(self)
