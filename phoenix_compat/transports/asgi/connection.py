"""A websocket connection after its handshake: passes messages to the socket server.

Two tasks serve it: that of the ASGI server, which receives, and one that sends.

    state    event                        action                                  new state
    OPEN     close(), timeout             send what is left and websocket.close   CLOSING
    OPEN     message that is unreadable   the same                                CLOSING
    CLOSING  message                      ignore it                               CLOSING
    any      websocket.disconnect         end the channels                        LOST

A connection in CLOSING is aborted after close_timeout_s: what it sends is cancelled, and the
application returns, after which the ASGI server closes the TCP connection.

While a join is pending, nothing is received; so the disconnect of a client is noticed after it.

Differs from Phoenix: an ASGI server reads the frames. So a ping does not reset the idle timeout,
and the limits for frames are those of the server.

Source: phoenix 1.8.12, lib/phoenix/transports/websocket.ex; ASGI 3, the websocket protocol 2.4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from phoenix_compat.endpoint import Endpoint, WebSocketOptions
from phoenix_compat.errors import EncodeError, RemoteProtocolError
from phoenix_compat.protocol.frame import (
    CLOSE_PROTOCOL_ERROR,
    CLOSE_SERVICE_RESTART,
    CLOSE_TOO_LARGE,
    CLOSE_TRY_AGAIN_LATER,
)
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.result import Reason
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.socket_server import Route, SocketServer
from phoenix_compat.socket import Socket
from phoenix_compat.transports.asgi.sender import Sender
from phoenix_compat.transports.asgi.stalled_sends import StalledSends
from phoenix_compat.transports.asgi.types import Event, Receive, Send
from phoenix_compat.transports.asgi.wire import MessageWire
from phoenix_compat.transports.connections import note_failure

log = logging.getLogger(__name__)


class Hub(Protocol):
    """What the connections of one mounted socket share."""

    endpoint: Endpoint
    options: WebSocketOptions
    routes: TopicRoutes[Route]
    sweeps: int
    stalled_sends: StalledSends

    def split(self, data: bytes) -> list[str | bytes]:
        """See wire.split_messages."""

    def connection_opened(self, connection: AsgiConnection) -> None:
        """Add the connection."""

    def connection_ended(self, connection: AsgiConnection) -> None:
        """Remove the connection."""


_OPEN: Final = 0
_CLOSING: Final = 1
_LOST: Final = 2


class AsgiConnection:
    """One client's websocket; see the module docstring.

    Attributes:
        received_at_sweep: the hub's sweep count when the client last sent something.
    """

    __slots__ = (
        "_close_code",
        "_hub",
        "_is_aborted",
        "_outbox",
        "_receive",
        "_sender",
        "_sending",
        "_server",
        "_state",
        "_task",
        "_timer",
        "_unblocked",
        "received_at_sweep",
    )

    def __init__(
        self, hub: Hub, receive: Receive, send: Send, serializer: Serializer, socket: Socket
    ) -> None:
        endpoint = hub.endpoint
        self.received_at_sweep = hub.sweeps
        self._hub = hub
        self._receive = receive
        self._state = _OPEN
        self._close_code = CLOSE_PROTOCOL_ERROR
        self._is_aborted = False
        self._timer: asyncio.TimerHandle | None = None
        self._unblocked: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._sender = Sender(send, hub.split, self._resume)
        self._outbox = Outbox(endpoint.wire(MessageWire, serializer), self)
        self._server = SocketServer(endpoint, hub.routes, socket, self._outbox, self)

    async def run(self) -> None:
        """Serve the client until it has disconnected; call it in the task of the ASGI server."""
        self._task = asyncio.current_task()
        self._sending = asyncio.get_running_loop().create_task(self._run_sender())
        self._hub.connection_opened(self)
        reason: Reason = ("shutdown", "closed")
        try:
            reason = await self._receive_all()
        except asyncio.CancelledError:
            if not self._is_aborted or self._task is None or self._task.uncancel():
                raise
        finally:
            await self._ended(reason)

    async def _run_sender(self) -> None:
        """Send until the close was sent. If the server refuses to send, the client is gone."""
        try:
            await self._sender.run()
        except OSError as error:
            log.debug("a client has disconnected: %r", error)
            self.abort()
        except Exception as error:  # noqa: BLE001 - an error of the server or of a middleware
            log.warning("dropping a connection: the ASGI server's send() failed: %r", error)
            self.abort()

    async def _ended(self, reason: Reason) -> None:
        self._state = _LOST
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.discard()
        self._server.closed(reason)
        self._hub.connection_ended(self)
        sending = self._sending
        if sending is not None and not sending.done():
            sending.cancel()
            await asyncio.wait({sending}, timeout=self._hub.endpoint.limits.close_timeout_s)

    # Incoming messages.

    async def _receive_all(self) -> Reason:
        """Handle messages until the client has disconnected; returns why its channels end."""
        receive, hub, server, outbox = self._receive, self._hub, self._server, self._outbox
        while True:
            if server.is_blocked and self._state == _OPEN:
                self._unblocked = asyncio.get_running_loop().create_future()
                await self._unblocked
                continue
            event = await receive()
            kind = event["type"]
            if kind == "websocket.receive":
                self.received_at_sweep = hub.sweeps
                if self._state == _OPEN:
                    self._handle(event)
                    if outbox.is_slow:
                        await asyncio.sleep(0)  # let the sender have its turn
            elif kind == "websocket.disconnect":
                is_restart = event.get("code") == CLOSE_SERVICE_RESTART
                return ("shutdown", "draining" if is_restart else "closed")

    def _handle(self, event: Event) -> None:
        text = event.get("text")
        is_binary = text is None
        data: bytes = event["bytes"] if text is None else text.encode()
        if len(data) > self._hub.options.max_message_bytes:
            self.close(CLOSE_TOO_LARGE, ("shutdown", "closed"))
            return
        try:
            self._server.receive(data, is_binary=is_binary)
        except (RemoteProtocolError, EncodeError) as error:
            self.close(note_failure(error, self._hub.endpoint), error)

    def unblocked(self) -> None:
        """Go on receiving after a join."""
        unblocked, self._unblocked = self._unblocked, None
        if self._state == _OPEN:
            self.received_at_sweep = self._hub.sweeps
        if unblocked is not None and not unblocked.done():
            unblocked.set_result(None)

    # The end.

    def close(self, code: int, reason: Reason) -> None:
        """Send what is left and the close with this code, and end the channels for this reason."""
        if self._state != _OPEN:
            return
        self._state = _CLOSING
        self._close_code = code
        self._outbox.close(b"")
        self._server.closed(reason)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._hub.endpoint.limits.close_timeout_s, self.abort)
        self.unblocked()  # to receive the disconnect

    def timed_out(self) -> None:
        """Close an idle client; not during a join, because nothing is read from it then."""
        if self._state == _OPEN and not self._server.is_blocked:
            self._hub.endpoint.counters.idle_closed += 1
            self.close(CLOSE_PROTOCOL_ERROR, ("shutdown", "timeout"))

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
        """Drop the connection: the application returns, and the server closes it."""
        if self._state != _LOST and not self._is_aborted and self._task is not None:
            self._is_aborted = True
            self._task.cancel()

    def abandon(self) -> None:
        """End the channels; the event loop of the connection is closed."""
        self._state = _LOST
        self._outbox.discard()
        self._server.closed(("shutdown", "closed"))
        self._hub.connection_ended(self)

    # runtime.sending.outbox.Sink and stalled_sends.Client.

    @property
    def send(self) -> Callable[[bytes], int]:
        """The sender's `write`."""
        return self._sender.write

    @property
    def is_sending(self) -> bool:
        """Whether the server has not taken everything."""
        return self._sender.is_sending or self._outbox.is_slow

    @property
    def sent(self) -> int:
        """How many messages the server has taken."""
        return self._sender.sent

    def write_final(self, data: bytes) -> None:
        """Send the last messages, and the close."""
        self._sender.close(data, self._close_code)

    def notify_when_writable(self) -> None:
        """Do little: the sender calls `_resume` when nothing is in flight."""
        self._hub.stalled_sends.add(self)

    def _resume(self) -> None:
        if self._outbox.is_slow:
            self._outbox.resume()

    def broken(self, error: OSError) -> None:
        """Do nothing: `Sender.write` does not raise."""

    def overflowed(self) -> None:
        """Close a client that is too slow; not now, because a fanout is being written."""
        asyncio.get_running_loop().call_soon(self.close_slow)

    def close_slow(self) -> None:
        """Close a client that is too slow."""
        if self._state == _OPEN:
            self._hub.endpoint.counters.slow_clients_closed += 1
            self.close(CLOSE_TRY_AGAIN_LATER, ("shutdown", "slow"))
