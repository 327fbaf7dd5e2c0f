"""A websocket connection after its handshake: reads frames and passes them to the socket server.

Connections receive into shared buffers. A connection has a buffer of its own only while a frame is
incomplete or a join is pending.

    state    event                  action                                       new state
    OPEN     client's close frame   reply to it, close the TCP connection        NOT_READING
    OPEN     close(), timeout       send a close frame, close the sending half   CLOSING
    OPEN     unreadable bytes       the same, and read nothing more              NOT_READING
    CLOSING  client's close frame   close the TCP connection                     NOT_READING
    any      TCP connection lost    end the channels                             LOST

A connection in CLOSING or NOT_READING is aborted after close_timeout_s.

Source: bandit 1.12.5, lib/bandit/websocket/connection.ex; RFC 6455 §5.5 and §7.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

from phoenix_compat.endpoint import Endpoint, WebSocketOptions
from phoenix_compat.errors import EncodeError, RemoteProtocolError
from phoenix_compat.protocol.frame import (
    CLOSE,
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
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.sending.wire import WebSocketWire
from phoenix_compat.runtime.socket_server import Route, SocketServer
from phoenix_compat.socket import Socket
from phoenix_compat.transports.aiohttp.slow_clients import SlowClosers, SlowReaders, SlowSenders
from phoenix_compat.transports.aiohttp.stream import Stream
from phoenix_compat.transports.connections import note_failure

try:  # the C routine, which aiohttp exports nowhere and may move
    from aiohttp._websocket.helpers import websocket_mask
except ImportError:
    from phoenix_compat.protocol.frame import apply_mask as websocket_mask

log = logging.getLogger(__name__)


class Hub(Protocol):
    """What the connections of one mounted socket share."""

    endpoint: Endpoint
    options: WebSocketOptions
    routes: TopicRoutes[Route]
    buffer: bytearray
    view: memoryview
    short_frame_bytes: int
    sweeps: int
    slow_senders: SlowSenders
    slow_readers: SlowReaders
    slow_closers: SlowClosers

    def connection_ended(self, connection: WebSocketConnection) -> None:
        """Remove the connection."""


# Plain integers, because the members of an Enum cost a lookup for each frame.
_OPEN: Final = 0
_CLOSING: Final = 1
_NOT_READING: Final = 2
_LOST: Final = 3

_mask_of: Final = struct.Struct("4s").unpack_from

_FINAL_TEXT: Final = 0x80 | TEXT
SHORT_FRAME_BYTES: Final = 131
"""The size of the longest frame whose length fits into its second byte, header included."""


class WebSocketConnection(asyncio.BufferedProtocol):
    """One client's websocket; see the module docstring.

    Attributes:
        received_at_sweep: the hub's sweep count when the client last sent something.
    """

    __slots__ = (
        "_assembler",
        "_hub",
        "_outbox",
        "_partial",
        "_server",
        "_state",
        "_stream",
        "received_at_sweep",
    )

    def __init__(self, hub: Hub, stream: Stream, serializer: Serializer, socket: Socket) -> None:
        endpoint = hub.endpoint
        self.received_at_sweep = hub.sweeps
        self._hub = hub
        self._stream = stream
        self._state = _OPEN
        self._partial: bytearray | None = None
        self._assembler: Assembler | None = None
        self._outbox = Outbox(endpoint.wire(WebSocketWire, serializer), self)
        self._server = SocketServer(endpoint, hub.routes, socket, self._outbox, self)

    # Incoming bytes: asyncio.BufferedProtocol and stream.StreamProtocol.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Receive into the hub's shared buffer."""
        del sizehint
        return self._hub.view

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the bytes that were received into the shared buffer."""
        self.received(self._hub.buffer, nbytes)

    def received(self, buffer: bytearray, nbytes: int) -> None:
        """See StreamProtocol."""
        hub = self._hub
        self.received_at_sweep = hub.sweeps
        partial = self._partial
        if partial is not None:
            partial += memoryview(buffer)[:nbytes]
            self._consume(partial, len(partial))
            return
        size = buffer[1]
        # A fast path for the usual case: exactly one complete, short text frame.
        if (
            buffer[0] == _FINAL_TEXT
            and nbytes == size - 122  # 2 header bytes + 4 mask bytes + (size - 128) payload bytes
            and 6 <= nbytes <= hub.short_frame_bytes
            and self._state == _OPEN
            and self._assembler is None
        ):
            payload = buffer[6:nbytes]
            websocket_mask(_mask_of(buffer, 2)[0], payload)
            try:
                if payload.isascii():
                    self._server.receive(payload, is_binary=False)
                else:
                    self._receive(TEXT, payload)
            except (RemoteProtocolError, EncodeError) as error:
                self._fail(error)
            if self._server.is_blocked:
                self._keep(buffer, nbytes, nbytes)
        else:
            self._consume(buffer, nbytes)

    def open(self, handshake: bytes, tail: bytes) -> None:
        """Send the handshake response, and handle what the client sent right after its request."""
        self._outbox.send(handshake)
        if tail:
            self._consume(bytearray(tail), len(tail))

    def _consume(self, buffer: bytearray, end: int) -> None:
        """Handle every complete frame of `buffer[:end]`, and keep the rest."""
        message = self._assembler
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
                    self._outbox.expect_more()
                self._take(frame)
        except (RemoteProtocolError, EncodeError) as error:
            self._fail(error)
        self._keep(buffer, start, end)
        if self._hub.slow_senders.timeout_s is not None:
            self._watch_sender(
                is_new=start > 0 and (message is None or message is not self._assembler)
            )

    def _watch_sender(self, *, is_new: bool) -> None:
        """Give what has begun its time to be complete.

        Args:
            is_new: whether it has begun with the bytes that were just received. A message goes on
                although complete frames, and control frames between them, were received.
        """
        slow_senders = self._hub.slow_senders
        is_incomplete = self._assembler is not None or self._partial is not None
        if not is_incomplete or self._state != _OPEN or self._server.is_blocked:
            slow_senders.remove(self)
        elif is_new or self not in slow_senders:
            slow_senders.add(self)

    def frame_timed_out(self) -> None:
        """Close a client that does not complete what it has begun to send."""
        self._hub.endpoint.counters.frames_timed_out += 1
        log.info("closing a connection with 1002: a frame or message was not complete in time")
        self.close(CLOSE_PROTOCOL_ERROR, ("shutdown", "timeout"))

    def _fail(self, error: RemoteProtocolError | EncodeError) -> None:
        """Close because the client violated the protocol, or a reply cannot be encoded."""
        self.close(note_failure(error, self._hub.endpoint), error)
        if isinstance(error, RemoteProtocolError):
            self._state = _NOT_READING

    @property
    def _is_reading(self) -> bool:
        if self._state == _OPEN:
            return not self._server.is_blocked
        return self._state == _CLOSING

    def _keep(self, buffer: bytearray, start: int, end: int) -> None:
        is_blocked = self._state == _OPEN and self._server.is_blocked
        if self._state >= _NOT_READING or (start == end and not is_blocked):
            self._partial = None
        elif start or buffer is not self._partial:
            self._partial = buffer[start:end]
        if is_blocked:
            self._stream.pause_reading()

    def unblocked(self) -> None:
        """Continue with what the client sent during the join."""
        if self._state != _OPEN:
            return
        partial, self._partial = self._partial, None
        if partial is not None:
            self._consume(partial, len(partial))
        if not self._server.is_blocked:
            self.received_at_sweep = self._hub.sweeps
            self._stream.resume_reading()

    # Frames.

    def _take(self, frame: RawFrame) -> None:
        opcode = frame.opcode
        if opcode == CLOSE:
            self._client_closes(frame.payload)
        elif self._state != _OPEN:
            pass  # the client sent it before it got our close frame
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
        """Handle the client's close frame, which starts or completes the closing handshake."""
        if self._state == _OPEN:
            self._start_closing(close_answer(payload), ("shutdown", "closed"))
        self._state = _NOT_READING
        self._stream.close()

    def close(self, code: int, reason: Reason) -> None:
        """Send a close frame with this code, and end the channels for this reason."""
        if self._state != _OPEN:
            return
        self._start_closing(code, reason)
        self._stream.write_eof()
        self._stream.resume_reading()  # to receive the client's close frame

    def _start_closing(self, code: int, reason: Reason) -> None:
        self._state = _CLOSING
        self._outbox.close(close_frame(code))
        self._server.closed(reason)
        self._hub.slow_closers.add(self)

    def timed_out(self) -> None:
        """Close an idle client; not during a join, because nothing is read from it then."""
        if self._state == _OPEN and not self._server.is_blocked:
            self._hub.endpoint.counters.idle_closed += 1
            self.close(CLOSE_PROTOCOL_ERROR, ("shutdown", "timeout"))

    @property
    def socket(self) -> Any:
        """The socket, or what the transport shows of it."""
        return self._stream.socket

    @property
    def server(self) -> SocketServer:
        """See connections.Connection."""
        return self._server

    @property
    def has_channels(self) -> bool:
        """Whether a channel is joined, or its join is in progress."""
        return self._server.has_channels

    def drain(self) -> None:
        """Close because the server restarts; the channels send nothing more."""
        self._hub.endpoint.counters.drained += 1
        self.close(CLOSE_SERVICE_RESTART, ("shutdown", "draining"))

    def abort(self) -> None:
        """Drop the connection."""
        self._stream.abort()

    def abandon(self) -> None:
        """End the channels; the event loop of the connection is closed."""
        self.connection_lost(None)

    # runtime.sending.outbox.Sink.

    @property
    def send(self) -> Callable[[bytes], int]:
        """The stream's `send`."""
        return self._stream.send

    def write_final(self, data: bytes) -> None:
        """See runtime.sending.outbox.Sink."""
        self._stream.write_final(data)

    def notify_when_writable(self) -> None:
        """Have `resume_writing` called when the socket is writable."""
        self._stream.notify_when_writable()
        self._hub.slow_readers.add(self)

    def broken(self, error: OSError) -> None:
        """Abort a connection that cannot be written to."""
        log.debug("a client has disconnected: %s", error)
        self._stream.abort()

    def overflowed(self) -> None:
        """Close a client that is too slow; not now, because a fanout is being written."""
        asyncio.get_running_loop().call_soon(self.close_slow)

    def close_slow(self) -> None:
        """Close a client that is too slow."""
        self._hub.endpoint.counters.slow_clients_closed += 1
        self.close(CLOSE_TRY_AGAIN_LATER, ("shutdown", "slow"))

    # asyncio.BaseProtocol.

    def resume_writing(self) -> None:
        """Write the backlog."""
        self._outbox.resume()
        if not self._outbox.is_slow:
            self._hub.slow_readers.remove(self)

    def eof_received(self) -> None:
        """Write what is unsent; after that the stream closes the connection."""
        if self._state == _OPEN:
            self._outbox.close(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """End the channels of a lost connection."""
        del exc
        self._state = _LOST
        self._partial = None
        self._outbox.discard()
        self._server.closed(("shutdown", "closed"))
        self._hub.connection_ended(self)
        # Both refer to this connection. Without a reference cycle everything is freed at once; the
        # garbage collector rarely looks at old objects. A lost connection uses neither of them.
        del self._server, self._outbox
