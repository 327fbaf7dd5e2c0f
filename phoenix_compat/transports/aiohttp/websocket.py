"""Accepts websockets: takes the connection over from aiohttp once `handshake` has accepted it.

The 101 is written here. After that, a WebSocketConnection serves the TCP connection, and aiohttp's
objects for it are released.
"""

from __future__ import annotations

import socket
import time
from functools import lru_cache
from typing import Final

from aiohttp import web

from phoenix_compat.endpoint import Endpoint, MountedSocket, WebSocketOptions
from phoenix_compat.http_server import take_decision
from phoenix_compat.protocol.handshake import accept_key, switching_protocols
from phoenix_compat.result import Result
from phoenix_compat.transports.aiohttp.connection import SHORT_FRAME_BYTES, WebSocketConnection
from phoenix_compat.transports.aiohttp.polled_stream import PolledStream
from phoenix_compat.transports.aiohttp.poller import Poller
from phoenix_compat.transports.aiohttp.request import request_value, to_aiohttp
from phoenix_compat.transports.aiohttp.slow_clients import SlowClosers, SlowReaders, SlowSenders
from phoenix_compat.transports.aiohttp.stream import LoopStream
from phoenix_compat.transports.connections import ConnectionHub
from phoenix_compat.transports.handshake import Accepted, check_handshake
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import NO_STORE, HttpResponse, refusal

_RECEIVE_BYTES: Final = 256 * 1024
_KEY: Final = "Sec-WebSocket-Key"
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


class WebSocketHub(ConnectionHub[WebSocketConnection]):
    """All websocket connections of one mounted socket, and what they share."""

    def __init__(
        self, endpoint: Endpoint, mounted: MountedSocket, options: WebSocketOptions
    ) -> None:
        super().__init__(endpoint, mounted, options)
        self.buffer = bytearray(_RECEIVE_BYTES)
        self.poller = Poller(endpoint.tick, self.buffer)
        self.view = self.poller.view
        self.short_frame_bytes = min(SHORT_FRAME_BYTES, options.max_frame_bytes)
        self.slow_senders = SlowSenders(options.frame_timeout_s)
        self.slow_readers = SlowReaders(endpoint.limits.send_timeout_s)
        self.slow_closers = SlowClosers(endpoint.limits.close_timeout_s)

    async def handle(self, request: web.Request, path_params: dict[str, str]) -> web.StreamResponse:
        """Handle one request for the websocket path."""
        decision = take_decision(request)
        if decision is None:
            outcome = await check_handshake(self, request_value(request), path_params)
        else:
            outcome = decision()
        if isinstance(outcome, HttpResponse):
            return to_aiohttp(request, outcome)
        return self._upgrade(request, outcome)

    async def respond(self, request: HttpRequest, refused: Result) -> HttpResponse:
        """See handshake.Hub."""
        handler = self.options.error_handler
        assert handler is not None  # noqa: S101 - for type checkers
        response = handler(request.native, refused.payload)
        if not isinstance(response, web.StreamResponse):
            raise TypeError(f"error_handler returned {response!r}, not an aiohttp response")
        return HttpResponse(response.status, native=response)

    def _upgrade(self, request: web.Request, accepted: Accepted) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            return to_aiohttp(request, refusal(503))
        answer = _answer(accepted, request.headers[_KEY])
        tail = _take_from_aiohttp(request)
        stream = self.poller.open(transport)
        connection = WebSocketConnection(
            self, stream or LoopStream(transport), accepted.serializer, accepted.socket
        )
        if stream is None:
            transport.set_protocol(connection)
            transport.resume_reading()
        else:
            stream.start(connection)
        connection.open(answer, tail)
        self.connection_opened(connection)
        return _DetachedResponse(status=101)

    def open_on(self, own: socket.socket, accepted: Accepted, key: str) -> None:
        """Answer an accepted handshake, and serve the websocket.

        Args:
            own: the TCP connection, of which nothing was received after the request.
            key: the request's Sec-WebSocket-Key.
        """
        stream = PolledStream(self.poller, own)
        connection = WebSocketConnection(self, stream, accepted.serializer, accepted.socket)
        stream.start(connection)
        connection.open(_answer(accepted, key), b"")
        self.connection_opened(connection)

    def connection_ended(self, connection: WebSocketConnection) -> None:
        """See connection.Hub."""
        self.slow_senders.remove(connection)
        self.slow_readers.remove(connection)
        self.slow_closers.remove(connection)
        super().connection_ended(connection)


def _answer(accepted: Accepted, key: str) -> bytes:
    headers = [
        ("date", _date(int(time.time()))),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", accept_key(key)),
        ("cache-control", NO_STORE["Cache-Control"]),
    ]
    if accepted.subprotocol is not None:
        headers.append(("sec-websocket-protocol", accepted.subprotocol))
    return switching_protocols(headers)


@lru_cache(maxsize=1)
def _date(now_s: int) -> str:
    """The `date` header of a response; cached for one second.

    `email.utils.formatdate` and `strftime` are not used: the first leaves a string in the
    interpreter's cache of methods each time, which keeps memory, and the second knows languages.
    """
    at = time.gmtime(now_s)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )


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
