"""A long-poll session: takes the place of a websocket connection.

Frames are buffered until a poll takes them; a poll that finds none waits for the first one. Only
the newest poll is woken. Posted messages are handled one by one, in order. Each is acknowledged
after the socket server has handled it; a pending join delays this.

Source: phoenix 1.8.12, lib/phoenix/transports/long_poll_server.ex.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import msgspec

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.errors import EncodeError, RemoteProtocolError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import Frame
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.result import Reason
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.sending.wire import ByteWire
from phoenix_compat.runtime.socket_server import Route, SocketServer
from phoenix_compat.socket import Socket

log = logging.getLogger(__name__)

NOT_TEXT: Final = b"\xff"
"""Marks a binary frame that is not UTF-8; a long-poll response cannot carry it."""


_MAX_WAITING: Final = 100
"""The limit of messages that wait behind a join; one more gets status 408 at once."""


class _PostedMessage(NamedTuple):
    """A message that waits in the inbox."""

    data: bytes
    is_binary: bool
    handled: asyncio.Future[None]


def _wake(poll: asyncio.Future[None] | None) -> None:
    if poll is not None and not poll.done():
        poll.set_result(None)


class LongPollWire(ByteWire):
    """Packs each frame into a JSON string and a comma; concatenated, they form a JSON list."""

    __slots__ = ()

    transport = "longpoll"

    def pack(self, frame: Frame) -> bytes:
        """Encode the frame's text as a JSON string."""
        try:
            return jason.encode(frame.decode()) + b","
        except UnicodeDecodeError:
            return NOT_TEXT

    def unpack(self, packet: bytes) -> Frame | None:
        """See ByteWire."""
        if packet == NOT_TEXT:
            return None
        text: str = msgspec.json.decode(packet[:-1])
        return text.encode()


class Hub(Protocol):
    """What the sessions of one mounted socket share."""

    endpoint: Endpoint
    routes: TopicRoutes[Route]
    polls: set[asyncio.Future[None]]

    def session_ended(self, session: LongPollSession) -> None:
        """Remove the session."""


class LongPollSession:
    """One client's session; see the module docstring.

    Attributes:
        name: its name in the hub.
        token: the signed name; it never changes.
        polled_at_s: the start of the latest poll, on the loop's clock.
        is_drained: whether it ended because the server stops.
    """

    __slots__ = (
        "_final_data",
        "_hub",
        "_inbox",
        "_is_over",
        "_joining",
        "_outbox",
        "_poller",
        "_server",
        "is_drained",
        "name",
        "polled_at_s",
        "token",
    )

    def __init__(
        self, hub: Hub, serializer: Serializer, socket: Socket, name: str, token: str
    ) -> None:
        endpoint = hub.endpoint
        self.name = name
        self.token = token
        self.polled_at_s = asyncio.get_running_loop().time()
        self._hub = hub
        self.is_drained = False
        self._is_over = False
        self._final_data = b""
        self._poller: asyncio.Future[None] | None = None
        self._inbox: deque[_PostedMessage] = deque()
        self._joining: asyncio.Future[None] | None = None
        self._outbox = Outbox(endpoint.wire(LongPollWire, serializer), self)
        self._outbox.start_backlog()  # polls take frames from the backlog
        self._server = SocketServer(endpoint, hub.routes, socket, self._outbox, self)

    # runtime.sending.outbox.Sink.

    def send(self, data: bytes) -> int:
        """Write nothing: polls take frames from the backlog."""
        del data
        return 0

    def write_final(self, data: bytes) -> None:
        """Keep the last frames for a waiting poll; later polls do not get them."""
        self._final_data = data

    def notify_when_writable(self) -> None:
        """Wake the waiting poll."""
        _wake(self._poller)

    def broken(self, error: OSError) -> None:
        """Do nothing; there is no socket that could break."""

    def overflowed(self) -> None:
        """End the session soon; not now, because a fanout is being written."""
        self._hub.endpoint.counters.slow_clients_closed += 1
        asyncio.get_running_loop().call_soon(self.close, 0, ("shutdown", "slow"))

    # Polls and messages.

    async def poll(self, window_s: float, is_gone: Callable[[], bool] = lambda: False) -> bytes:
        """Wait for frames and take all of them; empty if none came within the window.

        A later poll replaces this one, which then gets nothing.

        Args:
            is_gone: whether the client of this poll has disconnected. If so, it takes nothing, so
                that the next poll does.
        """
        loop = asyncio.get_running_loop()
        self.polled_at_s = loop.time()
        if is_gone():
            return b""
        frames = self._outbox.take()
        if not frames:
            poller = self._poller = loop.create_future()
            self._hub.polls.add(poller)
            try:
                await asyncio.wait({poller}, timeout=window_s)
            finally:
                self._hub.polls.discard(poller)
            if self._poller is not poller:
                return b""
            self._poller = None
            if is_gone():
                return b""
            frames = self._final_data if self._is_over else self._outbox.take()
        return frames

    async def publish(self, data: bytes, *, is_binary: bool, window_s: float) -> bool:
        """Handle one posted message; return whether it was handled within the window.

        A message that was not handled in time is still handled later, in order. An unreadable
        message ends the session and counts as not handled. When the server stops, messages that
        wait behind a join are not handled either; this returns at once for them.
        """
        if self.is_drained or len(self._inbox) >= _MAX_WAITING:
            return False
        handled = asyncio.get_running_loop().create_future()
        self._inbox.append(_PostedMessage(data, is_binary, handled))
        self._handle_inbox()
        await asyncio.wait({handled}, timeout=window_s)
        return handled.done() and not handled.cancelled()

    def _handle_inbox(self) -> None:
        """Handle messages until the inbox is empty or a join blocks the socket server."""
        while self._inbox and self._can_receive:
            message = self._inbox.popleft()
            try:
                self._server.receive(message.data, is_binary=message.is_binary)
            except (RemoteProtocolError, EncodeError) as error:
                log.debug("ending a long-poll session: %s", error)
                self._hub.endpoint.wrong_versions.note(error)
                self.close(0, error)
                return
            if self._server.is_blocked:
                self._joining = message.handled
            else:
                message.handled.set_result(None)

    @property
    def _can_receive(self) -> bool:
        return not (self._is_over or self._server.is_blocked)

    # runtime.socket_server.Connection.

    def unblocked(self) -> None:
        """Acknowledge the message of the join, and handle the inbox."""
        joining, self._joining = self._joining, None
        if joining is not None:
            joining.set_result(None)
        self._handle_inbox()

    def close(self, code: int, reason: Reason) -> None:
        """End the session. A waiting poll is not woken; the next request gets status 410."""
        del code
        if not self._is_over:
            self._is_over = True
            self._outbox.close(b"")
            self._server.closed(reason)
            self._hub.session_ended(self)

    @property
    def server(self) -> SocketServer:
        """The socket server of the client."""
        return self._server

    @property
    def has_channels(self) -> bool:
        """Whether a channel is joined, or its join is in progress."""
        return self._server.has_channels

    def drain(self) -> None:
        """End the session because the server restarts. A pending join goes on to its end."""
        if not self._is_over:
            self.is_drained = True
            self._hub.endpoint.counters.drained += 1
            self.close(0, ("shutdown", "draining"))
            for message in self._inbox:
                message.handled.cancel()
