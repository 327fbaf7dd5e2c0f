"""Accepts websockets: checks the handshake and takes the connection over from aiohttp.

The checks follow Phoenix's order: method, query, origin, subprotocols, `connect`, and only then
whether the request is an upgrade at all. The 101 is written here. After that, a WebSocketConnection
serves the TCP connection, and aiohttp's objects for it are released.

Source: phoenix 1.8.12, lib/phoenix/transports/websocket.ex, call/2.
"""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from aiohttp import web

from phoenix_compat.bounded import brief
from phoenix_compat.endpoint import Endpoint, MountedSocket, WebSocketOptions, drain_in_batches
from phoenix_compat.http_server import close_after
from phoenix_compat.protocol.frame import CLOSE_NORMAL
from phoenix_compat.protocol.handshake import (
    accept_key,
    has_several_keys,
    offered_subprotocols,
    select_subprotocol,
    switching_protocols,
    take_auth_token,
    upgrade_error,
)
from phoenix_compat.protocol.query import BadQueryError, Params
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.result import Result
from phoenix_compat.socket import Socket
from phoenix_compat.transports.admission import admit, is_from_allowed_origin
from phoenix_compat.transports.aiohttp.connection import SHORT_FRAME_BYTES, WebSocketConnection
from phoenix_compat.transports.aiohttp.poller import Poller
from phoenix_compat.transports.aiohttp.request import (
    NO_STORE,
    full_connect_info,
    read_params,
    refusal,
    request_origin,
)
from phoenix_compat.transports.aiohttp.slow_clients import SlowReaders, SlowSenders
from phoenix_compat.transports.aiohttp.stream import LoopStream

log = logging.getLogger(__name__)

_RECEIVE_BYTES: Final = 256 * 1024
_SWEEPS_PER_TIMEOUT: Final = 10


class WebSocketHub:
    """All websocket connections of one mounted socket, and what they share."""

    def __init__(
        self, endpoint: Endpoint, socket: MountedSocket, options: WebSocketOptions
    ) -> None:
        self.endpoint = endpoint
        self.options = options
        self.buffer = bytearray(_RECEIVE_BYTES)
        self.poller = Poller(endpoint.tick, self.buffer)
        self.view = self.poller.view
        self.short_frame_bytes = min(SHORT_FRAME_BYTES, options.max_frame_bytes)
        self.sweeps = 0
        self.routes = socket.routes
        self._socket = socket
        self._connections: set[WebSocketConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.slow_senders = SlowSenders(options.frame_timeout_s)
        self.slow_readers = SlowReaders(endpoint.limits.send_timeout_s)

    def __len__(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    # Handshake.

    async def handle(self, request: web.Request, path_params: dict[str, str]) -> web.StreamResponse:
        """Handle one request for the websocket path."""
        if request.method != "GET":
            return refusal(400)
        try:
            params = read_params(request, path_params)
        except BadQueryError as error:
            return refusal(400, str(error))
        if not is_from_allowed_origin(
            request.headers.get("Origin"), request_origin(request), self.endpoint, self.options
        ):
            return refusal(403)
        protocols = request.headers.get("Sec-WebSocket-Protocol")
        token = None
        if self._socket.auth_token:
            try:
                protocols, token = take_auth_token(protocols)
            except ValueError as error:  # Phoenix raises, which is a 500 too
                log.debug("a client's auth token is not base64: %s", error)
                return refusal(500)
        is_acceptable, subprotocol = self._select_subprotocol(protocols)
        if not is_acceptable:
            return refusal(403)
        response = await self._connect(request, params, protocols, token, subprotocol)
        if subprotocol is not None and response.status not in {101, 500}:
            response.headers.setdefault("Sec-WebSocket-Protocol", subprotocol)
        return response

    async def _connect(
        self,
        request: web.Request,
        params: Params,
        protocols: str | None,
        token: str | None,
        subprotocol: str | None,
    ) -> web.StreamResponse:
        """Call `connect`, then check the upgrade."""
        auth_token = {"auth_token": token} if self._socket.auth_token else {}
        info = await full_connect_info(request, params, self.options, protocols, auth_token)
        admitted = await admit(params, info, self.endpoint, self._socket, self.options)
        if isinstance(admitted, Result):
            return self._refuse(request, admitted)
        serializer, socket = admitted
        problem = upgrade_error(request.headers, request.version)
        if problem is not None:
            return refusal(400, problem)
        if has_several_keys(request.headers):
            return close_after(request, refusal(500))
        return self._upgrade(request, serializer, socket, subprotocol)

    def _select_subprotocol(self, header: str | None) -> tuple[bool, str | None]:
        offered = offered_subprotocols(header)
        supported = self.options.subprotocols
        if self._socket.auth_token:
            supported = ("phoenix", *(supported or ()))
        is_acceptable, subprotocol = select_subprotocol(offered, supported)
        if not is_acceptable:
            log.error(
                "Could not check Websocket subprotocols: offered %s, supported %r",
                brief(offered),
                supported,
            )
        return is_acceptable, subprotocol

    def _refuse(self, request: web.Request, refused: Result) -> web.StreamResponse:
        handler = self.options.error_handler
        if handler is None or refused.payload == {}:
            return refusal(403)
        response = handler(request, refused.payload)
        if not isinstance(response, web.StreamResponse):
            raise TypeError(f"error_handler returned {response!r}, not an aiohttp response")
        return response

    def _upgrade(
        self,
        request: web.Request,
        serializer: Serializer,
        socket: Socket,
        subprotocol: str | None,
    ) -> web.StreamResponse:
        transport = request.transport
        if transport is None or self.endpoint.is_closing:
            return refusal(503)
        headers = [
            ("date", _date(int(time.time()))),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", accept_key(request.headers["Sec-WebSocket-Key"])),
            ("cache-control", NO_STORE["Cache-Control"]),
        ]
        if subprotocol is not None:
            headers.append(("sec-websocket-protocol", subprotocol))
        tail = _take_from_aiohttp(request)
        stream = self.poller.open(transport)
        connection = WebSocketConnection(self, stream or LoopStream(transport), serializer, socket)
        if stream is None:
            transport.set_protocol(connection)
            transport.resume_reading()
        else:
            stream.start(connection)
        connection.open(switching_protocols(headers), tail)
        self._opened(connection)
        return _DetachedResponse(status=101)

    # Connections.

    def _opened(self, connection: WebSocketConnection) -> None:
        self._connections.add(connection)
        if self._timer is None:
            self._sweep_later()

    def connection_ended(self, connection: WebSocketConnection) -> None:
        """See connection.Hub."""
        self._connections.discard(connection)
        self.slow_senders.remove(connection)
        self.slow_readers.remove(connection)
        self.endpoint.client_disconnected()

    async def drain(self) -> None:
        """Close the clients with channels with 1012, in batches.

        A join in progress counts: phoenix.js up to 1.8.15 does not connect again after 1000.
        """
        in_use = [connection for connection in self._connections if connection.has_channels]
        await drain_in_batches(in_use, self._socket.drainer)

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


@lru_cache(maxsize=1)
def _date(now_s: int) -> str:
    """The `date` header of a response; cached for one second."""
    return formatdate(now_s, usegmt=True)


class _DetachedResponse(web.StreamResponse):
    """The handler's response after the connection was taken over from aiohttp; writes nothing."""

    async def prepare(self, _request: web.BaseRequest) -> None:
        self.force_close()

    async def write_eof(self, _data: bytes = b"") -> None:
        pass


class _Tail:
    """Collects the bytes that aiohttp's protocol received after the handshake request."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass


def _take_from_aiohttp(request: web.Request) -> bytes:
    """Release aiohttp's objects as if the client had disconnected.

    Returns:
        The bytes that were received after the handshake request.
    """
    protocol = request.protocol
    tail = _Tail()
    protocol.set_parser(tail)  # type: ignore[arg-type] # it needs feed_data and feed_eof only
    protocol.transport = None
    protocol.connection_lost(None)
    return tail.data
