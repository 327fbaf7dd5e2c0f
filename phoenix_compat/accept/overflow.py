"""The few connections that are accepted beyond the limit, for a short life.

Whoever watches the server is answered while all places are taken, and everybody else is told that
they are: a request for the health page is handed on, any other gets 503.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection
from email.utils import formatdate
from typing import Final, TypeAlias

from phoenix_compat.accept.accepted import AcceptedSocket
from phoenix_compat.accept.connections import Connections

MAX_VISITS: Final = 16

HEAD_S: Final = 1.0
ANSWER_S: Final = 5.0
MAX_HEAD_BYTES: Final = 16 * 1024
RETRY_AFTER_S: Final = 5

_RECEIVE_BYTES: Final = 4096
_HEAD_END: Final = b"\r\n\r\n"
_PROBLEM: Final = (
    '{"type": "urn:phoenix-compat:problem:too-many-connections", "title": "Service Unavailable", '
    '"status": 503, "detail": "%s"}'
)
_SERVER_IS_FULL: Final = (
    "This server has as many connections as it may have; try again later. Its operator can raise "
    "max_connections and the limit of open files."
)
_ADDRESS_IS_FULL: Final = (
    "This server has as many connections from your address as it may have; close some. Its "
    "operator can raise max_connections_per_address, or name a proxy in trusted_proxies."
)

HandOver: TypeAlias = Callable[[AcceptedSocket, bytes], "asyncio.Task[asyncio.Transport | None]"]


class Overflow:
    """At most `MAX_VISITS` connections; when all places are taken, the oldest is closed.

    Args:
        open_paths: whose requests are handed on.
        hand_over: gives a connection to the HTTP protocol, with what was received from it.
    """

    def __init__(
        self, connections: Connections, open_paths: Collection[str], hand_over: HandOver
    ) -> None:
        self.connections = connections
        self.hand_over = hand_over
        self._open_paths = frozenset(path.encode() for path in open_paths)
        self._visits: dict[_Visit, None] = {}

    def __len__(self) -> int:
        """How many there are now."""
        return len(self._visits)

    def take(self, accepted: AcceptedSocket, *, is_for_address: bool = False) -> None:
        """Look after one more connection.

        Args:
            is_for_address: whether it is too many for its address, not for the server.
        """
        if len(self._visits) >= MAX_VISITS:
            self.close_oldest()
        visit = _Visit(self, accepted, is_for_address=is_for_address)
        self._visits[visit] = None
        visit.begin()

    def close_oldest(self) -> bool:
        """Close one, rather not one that is being answered; whether there was any."""
        visits = tuple(self._visits)
        if not visits:
            return False
        min(visits, key=lambda visit: visit.is_handed_over).end()  # of those that tie, the first
        return True

    def close(self) -> None:
        """Close all that were not handed on."""
        for visit in tuple(self._visits):
            if not visit.is_handed_over:
                visit.end()

    def is_open_to(self, head: bytes) -> bool:
        """Whether the request is handed on."""
        words = head.split(b"\r\n", 1)[0].split(b" ")
        return len(words) == 3 and words[1].split(b"?", 1)[0] in self._open_paths

    def gone(self, visit: _Visit) -> None:
        """A visit's descriptor is closed."""
        self._visits.pop(visit, None)


class _Visit:
    """One connection beyond the limit."""

    __slots__ = (
        "_head",
        "_is_for_address",
        "_is_refused",
        "_loop",
        "_room",
        "_socket",
        "_task",
        "_timer",
    )

    def __init__(
        self, room: Overflow, accepted: AcceptedSocket, *, is_for_address: bool = False
    ) -> None:
        accepted.on_close = self._gone  # it is not among those that are counted as open
        self._room = room
        self._socket = accepted
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self._is_for_address = is_for_address
        self._is_refused = False
        self._task: asyncio.Task[asyncio.Transport | None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_handed_over(self) -> bool:
        """Whether it is being answered by the HTTP protocol."""
        return self._task is not None

    def begin(self) -> None:
        """Read the head. Often it is there already."""
        self._socket.setblocking(False)  # noqa: FBT003 - its only form
        self._timer = self._loop.call_later(HEAD_S, self._late)
        self._loop.add_reader(self._socket.fileno(), self._receive)
        self._receive()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.end()
            return
        self._head += data
        if len(self._head) > MAX_HEAD_BYTES:
            self._refuse()
            self.end()
        elif not self._is_refused and _HEAD_END in self._head:
            if self._room.is_open_to(self._head):
                self._hand_over()
            else:
                self._refuse()

    def _hand_over(self) -> None:
        self._stop_reading()
        request_line, rest = self._head.split(b"\r\n", 1)
        head = request_line + b"\r\nConnection: close\r\n" + rest
        self._timer = self._loop.call_later(ANSWER_S, self.end)
        self._task = self._room.hand_over(self._socket, head)

    def _refuse(self) -> None:
        """Answer 503. The client closes when it has read it: what it still sends must not reset the
        connection before."""
        if self._is_refused:
            return
        self._is_refused = True
        self._room.connections.refused(is_for_address=self._is_for_address)
        detail = _ADDRESS_IS_FULL if self._is_for_address else _SERVER_IS_FULL
        is_head_only = self._head.startswith(b"HEAD ")
        try:
            self._socket.send(_refusal(detail, is_head_only=is_head_only))
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.end()

    def _late(self) -> None:
        self._receive()  # on a busy machine it may have come long ago
        if not self.is_handed_over:
            self._refuse()
            self.end()

    def end(self) -> None:
        """Close it now."""
        if self._task is None:
            if self._socket.fileno() != -1:
                self._stop_reading()
                if not self._is_refused:
                    self._room.connections.refused(is_for_address=self._is_for_address)
                    self._is_refused = True
                self._socket.close()
        elif not self._task.done():
            self._timer = self._loop.call_later(HEAD_S, self.end)
        elif self._task.exception() is None and (transport := self._task.result()) is not None:
            transport.abort()

    def _stop_reading(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        if self._timer is not None:
            self._timer.cancel()

    def _gone(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._room.gone(self)


def _refusal(detail: str, *, is_head_only: bool) -> bytes:
    body = (_PROBLEM % detail).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Retry-After: {RETRY_AFTER_S}\r\n"
        "Connection: close\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        "Server: phoenix_compat\r\n"
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "X-Content-Type-Options: nosniff\r\n\r\n"
    ).encode()
    return head if is_head_only else head + body
