"""One long-poll session: what a websocket connection is, without the websocket.

Frames wait in a buffer until a poll takes them; a poll that finds none waits for the first. Only
the newest poll is woken. Messages are taken one by one, in order, and each is acknowledged once the
socket server took it, which a join that waits delays.

Source: phoenix 1.8.12, lib/phoenix/transports/long_poll_server.ex.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, NamedTuple, Protocol

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.errors import EncodeError, RemoteProtocolError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import Frame
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.result import Reason
from phoenix_compat.runtime.outbox import Outbox
from phoenix_compat.runtime.socket_server import Route, SocketServer
from phoenix_compat.runtime.wire import ByteWire
from phoenix_compat.socket import Socket

log = logging.getLogger(__name__)

NOT_TEXT: Final = b"\xff"
"""Stands for a binary frame that is no UTF-8, which a long-poll answer cannot carry."""


_MAX_WAITING: Final = 100
"""Messages that wait behind a join; one more is answered 408 at once."""


class _Waiting(NamedTuple):
    """A message that was posted."""

    data: bytes
    is_binary: bool
    taken: asyncio.Future[None]


def _wake(poll: asyncio.Future[None] | None) -> None:
    if poll is not None and not poll.done():
        poll.set_result(None)


class LongPollWire(ByteWire):
    """Frames as JSON strings, each with a comma behind it: put together, they are a JSON list."""

    __slots__ = ()

    def pack(self, frame: Frame) -> bytes:
        """The frame's text as a JSON string."""
        try:
            return jason.encode(frame.decode()) + b","
        except UnicodeDecodeError:
            return NOT_TEXT


class Hub(Protocol):
    """What the sessions of one mount share."""

    endpoint: Endpoint
    routes: TopicRoutes[Route]
    polls: set[asyncio.Future[None]]

    def gone(self, session: LongPollSession) -> None:
        """The session is over."""


class LongPollSession:
    """One client's session. See the module.

    Attributes:
        name: what the hub knows it by.
        token: the name, signed; the same for its whole life.
        polled_at_s: when a poll last began, on the loop's clock.
    """

    __slots__ = (
        "_hub",
        "_inbox",
        "_is_over",
        "_joining",
        "_last_words",
        "_outbox",
        "_poller",
        "_server",
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
        self._is_over = False
        self._last_words = b""
        self._poller: asyncio.Future[None] | None = None
        self._inbox: deque[_Waiting] = deque()
        self._joining: asyncio.Future[None] | None = None
        self._outbox = Outbox(endpoint.wire(LongPollWire, serializer), self)
        self._outbox.hold_back()  # nobody reads until a poll comes
        self._server = SocketServer(endpoint, hub.routes, socket, self._outbox, self)

    # What the outbox writes to: runtime.outbox.Sink.

    def send(self, data: bytes) -> int:
        """There is never room: a poll takes what waits."""
        del data
        return 0

    def write(self, data: bytes) -> None:
        """The last words: for the poll that waits. Nobody comes for them later."""
        self._last_words = data

    def want_room(self) -> None:
        """Wake the poll that waits."""
        _wake(self._poller)

    def broken(self, error: OSError) -> None:
        """Nothing that can break."""

    def overflowed(self) -> None:
        """Nobody polls. Not now, because a fanout is being written."""
        self._hub.endpoint.counters.slow_clients_closed += 1
        asyncio.get_running_loop().call_soon(self.close, 0, ("shutdown", "slow"))

    # Polls and messages.

    async def poll(self, window_s: float) -> bytes:
        """Wait for frames, and take all that are there; empty when the window passed without.

        A poll that comes later takes over; this one then waits in vain.
        """
        loop = asyncio.get_running_loop()
        self.polled_at_s = loop.time()
        taken = self._outbox.take()
        if not taken:
            poller = self._poller = loop.create_future()
            self._hub.polls.add(poller)
            try:
                await asyncio.wait({poller}, timeout=window_s)
            finally:
                self._hub.polls.discard(poller)
            if self._poller is not poller:
                return b""
            self._poller = None
            taken = self._last_words if self._is_over else self._outbox.take()
        return taken

    async def publish(self, data: bytes, *, is_binary: bool, window_s: float) -> bool:
        """Hand one message to the socket server; whether it took it within the window.

        One that was not taken in time is still handled later, in its turn. One that cannot be read
        ends the session, and is never taken.
        """
        if len(self._inbox) >= _MAX_WAITING:
            return False
        taken = asyncio.get_running_loop().create_future()
        self._inbox.append(_Waiting(data, is_binary, taken))
        self._receive_waiting()
        await asyncio.wait({taken}, timeout=window_s)
        return taken.done()

    def _receive_waiting(self) -> None:
        """Take messages as long as no join blocks the socket server."""
        while self._inbox and self._is_taking:
            waiting = self._inbox.popleft()
            try:
                self._server.receive(waiting.data, is_binary=waiting.is_binary)
            except (RemoteProtocolError, EncodeError) as error:
                log.info("ending a long-poll session: %s", error)
                self.close(0, error)
                return
            if self._server.is_blocked:
                self._joining = waiting.taken
            else:
                waiting.taken.set_result(None)

    @property
    def _is_taking(self) -> bool:
        return not (self._is_over or self._server.is_blocked)

    # What the socket server asks of its connection.

    def unblocked(self) -> None:
        """A join is answered: acknowledge it, and go on with what waits."""
        joining, self._joining = self._joining, None
        if joining is not None:
            joining.set_result(None)
        self._receive_waiting()

    def close(self, code: int, reason: Reason) -> None:
        """End the session. A poll that waits is not told; the next request is answered 410."""
        del code
        if not self._is_over:
            self._is_over = True
            self._outbox.close(b"")
            self._server.closed(reason)
            self._hub.gone(self)

    @property
    def joined_topics(self) -> int:
        """How many channels are joined."""
        return self._server.joined_topics

    def drain(self) -> None:
        """The server restarts."""
        self.close(0, ("shutdown", "draining"))
