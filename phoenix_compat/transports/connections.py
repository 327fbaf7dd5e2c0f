"""The websocket connections of one mounted socket: idle clients, draining, the end.

Source: phoenix 1.8.12, lib/phoenix/socket/pool_supervisor.ex, terminate/2.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from phoenix_compat.endpoint import Endpoint, MountedSocket, WebSocketOptions, drain_in_batches
from phoenix_compat.errors import EncodeError, RemoteProtocolError
from phoenix_compat.protocol.frame import CLOSE_INTERNAL_ERROR, CLOSE_NORMAL
from phoenix_compat.result import Reason
from phoenix_compat.runtime.socket_server import SocketServer

log = logging.getLogger(__name__)

_SWEEPS_PER_TIMEOUT: Final = 10


class Connection(Protocol):
    """One client's websocket.

    Attributes:
        received_at_sweep: the hub's sweep count when the client last sent something.
    """

    received_at_sweep: int

    @property
    def server(self) -> SocketServer:
        """The socket server of the client."""

    @property
    def has_channels(self) -> bool:
        """Whether a channel is joined, or its join is in progress."""

    def timed_out(self) -> None:
        """Close an idle client."""

    def drain(self) -> None:
        """Close because the server restarts."""

    def close(self, code: int, reason: Reason) -> None:
        """Close with this code, and end the channels for this reason."""

    def abort(self) -> None:
        """Drop the connection."""

    def abandon(self) -> None:
        """End the channels; the event loop of the connection is closed."""


C = TypeVar("C", bound=Connection)


class ConnectionHub(Generic[C]):
    """All websocket connections of one mounted socket, and what they share.

    Attributes:
        sweeps: how often idle clients were looked for.
    """

    def __init__(
        self, endpoint: Endpoint, mounted_socket: MountedSocket, options: WebSocketOptions
    ) -> None:
        self.endpoint = endpoint
        self.options = options
        self.routes = mounted_socket.routes
        self.mounted_socket = mounted_socket
        self.sweeps = 0
        self._connections: set[C] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def clients(self) -> Iterator[SocketServer]:
        """See endpoint.Transport."""
        return (connection.server for connection in self._connections)

    def connection_opened(self, connection: C) -> None:
        """Add a connection."""
        self._connections.add(connection)
        if self._timer is None:
            self._sweep_later()

    def connection_ended(self, connection: C) -> None:
        """Remove a connection."""
        self._connections.discard(connection)
        self.endpoint.client_disconnected()

    async def drain(self) -> None:
        """Close the clients with channels with 1012, in batches.

        A join in progress counts: phoenix.js up to 1.8.15 does not connect again after 1000.
        """
        in_use = [connection for connection in self._connections if connection.has_channels]
        await drain_in_batches(in_use, self.mounted_socket.drainer)

    def close_all(self) -> None:
        """Close all remaining clients with 1000."""
        for connection in tuple(self._connections):
            connection.close(CLOSE_NORMAL, ("shutdown", "closed"))

    def abort_all(self) -> None:
        """Drop all remaining connections."""
        for connection in tuple(self._connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abandon(self) -> None:
        """End the channels of all clients; the event loop of their connections is closed."""
        for connection in tuple(self._connections):
            connection.abandon()
        self._timer = None

    def _sweep_later(self) -> None:
        delay_s = self.options.timeout_s / _SWEEPS_PER_TIMEOUT
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        """Close the clients that sent nothing for the whole timeout. One timer serves all."""
        self._timer = None
        self.sweeps += 1
        too_old = self.sweeps - _SWEEPS_PER_TIMEOUT
        for connection in tuple(self._connections):
            if connection.received_at_sweep < too_old:
                try:
                    connection.timed_out()
                except Exception:  # a bug ends one connection, not the sweeps
                    log.exception("cannot close an idle websocket; dropping the connection")
                    connection.abort()
        if self._connections:
            self._sweep_later()


def note_failure(error: RemoteProtocolError | EncodeError, endpoint: Endpoint) -> int:
    """Log why a connection ends: the client violated the protocol, or a reply cannot be encoded.

    Returns:
        The code to close with.
    """
    if isinstance(error, EncodeError):
        # A client may send JSON of the maximum depth; a reply that echoes it is deeper still.
        is_too_deep = isinstance(error.__cause__, RecursionError)
        log.error(
            "closing a connection: a reply cannot be encoded: %s",
            error,
            exc_info=None if is_too_deep else error,
        )
        return CLOSE_INTERNAL_ERROR
    log.debug("closing a connection with %d: %s", error.close_code, error)
    endpoint.wrong_versions.note(error)
    return error.close_code
