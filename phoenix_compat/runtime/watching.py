"""Passes the messages of one client to a tap, for tools that show them.

A client that is watched has other classes for its socket server and its outbox, so that all other
clients pay nothing: not even a check whether they are watched. The order of what the tap gets is
the order on the wire.
"""

from __future__ import annotations

from typing import Any, Protocol

from phoenix_compat.protocol.jason import Buffer
from phoenix_compat.protocol.message import BinaryFrame
from phoenix_compat.result import Reason
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.socket_server import SocketServer


class FrameTap(Protocol):
    """Gets the messages of one client. Its methods must not block or raise."""

    def received(self, frame: bytes, *, is_binary: bool) -> None:
        """The client has sent a message; it is handled next."""

    def sent(self, frame: bytes, *, is_binary: bool) -> None:
        """A message for the client was produced; it may wait in the backlog of a slow client."""

    def ended(self, reason: Reason) -> None:
        """The connection was closed."""


def is_watched(server: SocketServer) -> bool:
    """Whether the messages of this client go to a tap."""
    return isinstance(server.outbox, _WatchedOutbox)


def watch(server: SocketServer, tap: FrameTap) -> None:
    """Pass the messages of a client to a tap from now on, until `unwatch` or the end.

    A client has one tap; another one replaces it.
    """
    outbox = server.outbox
    if not is_watched(server):
        # Broadcasts come to the outbox of a client that is in several fanouts. So the client
        # counts as one of those, also for the fanouts that it joins later.
        if outbox.fanout is not None:
            outbox.fanout.make_multi(outbox)
        outbox.fanout_count += 1
        outbox.__class__ = _WatchedOutbox
        server.__class__ = _WatchedServer
    outbox.tap = tap


def unwatch(server: SocketServer) -> None:
    """Undo `watch`; do nothing if the client is not watched."""
    outbox = server.outbox
    if is_watched(server):
        outbox.fanout_count -= 1
        outbox.__class__ = Outbox
        server.__class__ = SocketServer
        del outbox.tap


class _WatchedServer(SocketServer):
    """The socket server of a client that is watched."""

    __slots__ = ()

    def receive(self, data: Buffer, *, is_binary: bool) -> None:
        self.outbox.tap.received(bytes(data), is_binary=is_binary)
        super().receive(data, is_binary=is_binary)

    def closed(self, reason: Reason) -> None:
        tap: Any = None if self.closed_for is not None else self.outbox.tap
        super().closed(reason)
        if tap is not None:
            tap.ended(reason)


class _WatchedOutbox(Outbox):
    """The outbox of a client that is watched."""

    __slots__ = ()

    def send(self, packet: bytes) -> None:
        self._pass_on(packet)
        super().send(packet)

    def enqueue(self, packet: bytes, key: object) -> None:
        self._pass_on(packet)
        super().enqueue(packet, key)

    def _pass_on(self, packet: bytes) -> None:
        frame = self.wire.unpack(packet)
        if frame is not None:
            self.tap.sent(frame, is_binary=isinstance(frame, BinaryFrame))
