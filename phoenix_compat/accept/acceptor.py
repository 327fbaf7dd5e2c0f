"""Takes connections from listening sockets, so many a turn, and hands each to an HTTP protocol.

Out of descriptors it pauses, a little longer each time, and keeps one descriptor spare, with which
somebody is accepted and answered all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol, Self, TypeAlias

from phoenix_compat.accept.accepted import AcceptedSocket, accept_from
from phoenix_compat.accept.connections import Connections
from phoenix_compat.accept.overflow import Overflow
from phoenix_compat.accept.transport_maker import transport_maker

LISTEN_BACKLOG: Final = 4_096
"""So many clients wait in the kernel, which they do when all come back after a restart."""
ACCEPTS_PER_TURN: Final = 64
"""So many are accepted before those that are connected already get their turn."""
OVER_CAP_PER_TURN: Final = 4
"""So many are beyond the limit: a quarter of their places, so that each is looked at some times."""
FIRST_PAUSE_S: Final = 0.05
LAST_PAUSE_S: Final = 1.0

_INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})
_OF_THE_CLIENT: Final = frozenset({errno.ECONNABORTED, errno.EPROTO})
_CLOSE_TIMEOUT_S: Final = 5.0


HandOver: TypeAlias = Callable[[AcceptedSocket, bytes, asyncio.Protocol], object]
"""Gives a connection to a protocol, with what was received from it."""


class Front(Protocol):
    """Looks at connections before they have a transport and a protocol."""

    def take(self, accepted: AcceptedSocket) -> None:
        """Look after a connection, which may be handed over later."""

    async def close(self) -> None:
        """End the connections that were not handed over."""


class Acceptor:
    """Serves what comes to the listening sockets; open while its `async with` block lasts.

    Args:
        listeners: bound; they are closed at the end.
        protocol: makes the protocol of a connection.
        connections: counts them.
        open_paths: answered beyond the limit too.
        front: makes what has each TCP connection first, and hands it over; None for nothing.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        protocol: Callable[[], asyncio.Protocol],
        connections: Connections,
        open_paths: Collection[str] = (),
        front: Callable[[HandOver], Front] | None = None,
    ) -> None:
        self._listeners = tuple(listeners)
        self._protocol = protocol
        self._connections = connections
        self._overflow = Overflow(connections, open_paths, self._hand_over)
        self._front = None if front is None else front(self.hand_over)
        self._loop = asyncio.get_running_loop()
        self._transports_hide_sockets = not isinstance(self._loop, asyncio.SelectorEventLoop)
        self._make_transport = transport_maker(self._loop)
        self._handing_over: dict[AcceptedSocket, asyncio.Task[asyncio.Transport | None]] = {}
        self._spare: socket.socket | None = None
        self._pause_s = FIRST_PAUSE_S
        self._paused: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        try:
            for listener in self._listeners:
                listener.setblocking(False)  # noqa: FBT003 - its only form
                if listener.family in _INTERNET:  # its connections inherit it
                    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                listener.listen(LISTEN_BACKLOG)
        except BaseException:
            for listener in self._listeners:
                listener.close()
            raise
        self._resume()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop listening; those who are connected stay so, and have their protocol."""
        self._stop_accepting()
        for listener in self._listeners:
            listener.close()
        if self._spare is not None:
            self._spare.close()
        self._overflow.close()
        if self._front is not None:
            await self._front.close()
        if self._handing_over:
            await asyncio.wait(self._handing_over.values(), timeout=_CLOSE_TIMEOUT_S)

    def _accept(self, accept: Callable[[], AcceptedSocket]) -> None:
        """Clients wait: accept some."""
        connections = self._connections
        over_cap = 0
        if self._spare is None:
            self._keep_spare()
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted = accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _OF_THE_CLIENT:
                    continue
                self._cannot_accept(accept, error)
                return
            self._pause_s = FIRST_PAUSE_S
            is_full = connections.is_full
            if not is_full and connections.admit(accepted):
                self._serve(accepted)
                continue
            self._overflow.take(accepted, is_for_address=not is_full)
            over_cap += 1
            if over_cap >= OVER_CAP_PER_TURN:
                return

    def _serve(self, accepted: AcceptedSocket) -> None:
        if self._front is not None and accepted.family in _INTERNET:
            self._front.take(accepted)
        else:
            self.hand_over(accepted, b"", self._protocol())

    def hand_over(
        self, accepted: AcceptedSocket, received: bytes, protocol: asyncio.Protocol
    ) -> None:
        """Give a connection to an HTTP protocol: at once, where the event loop can.

        Args:
            received: what the client has sent already.
        """
        if self._make_transport is None:
            self._hand_over(accepted, received, protocol)
            return
        try:
            self._make_transport(accepted, protocol)
        except OSError:
            accepted.close()  # the client is gone
            return
        except BaseException:
            accepted.close()
            raise
        if received:  # the protocol hears of its connection first
            self._loop.call_soon(protocol.data_received, received)

    def _hand_over(
        self,
        accepted: AcceptedSocket,
        received: bytes = b"",
        protocol: asyncio.Protocol | None = None,
    ) -> asyncio.Task[asyncio.Transport | None]:
        if self._transports_hide_sockets:
            accepted.remember()
        task = self._loop.create_task(
            self._handed_over(accepted, received, protocol or self._protocol())
        )
        self._handing_over[accepted] = task
        return task

    async def _handed_over(
        self, accepted: AcceptedSocket, received: bytes, protocol: asyncio.Protocol
    ) -> asyncio.Transport | None:
        try:
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, accepted)
        except OSError:
            accepted.close()  # the client is gone
            return None
        except BaseException:
            accepted.close()
            raise
        finally:
            del self._handing_over[accepted]
        if received:
            protocol.data_received(received)
        return transport

    # Out of descriptors, or of memory for them.

    def _cannot_accept(self, accept: Callable[[], AcceptedSocket], error: OSError) -> None:
        self._connections.not_accepted(error)
        if self._free_one():
            with contextlib.suppress(OSError):
                self._overflow.take(accept())
                self._pause_s = FIRST_PAUSE_S
        self._stop_accepting()
        self._paused = self._loop.call_later(self._pause_s, self._resume)
        self._pause_s = min(self._pause_s * 2, LAST_PAUSE_S)

    def _free_one(self) -> bool:
        """Free a descriptor, for somebody who waits."""
        if self._spare is None:
            return self._overflow.close_oldest()
        self._spare.close()
        self._spare = None
        return True

    def _keep_spare(self) -> None:
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = socket.socket()

    def _stop_accepting(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        for listener in self._listeners:
            if listener.fileno() != -1:
                self._loop.remove_reader(listener.fileno())

    def _resume(self) -> None:
        self._paused = None
        self._keep_spare()
        for listener in self._listeners:
            accept = accept_from(listener, self._connections.closed)
            self._loop.add_reader(listener.fileno(), self._accept, accept)
