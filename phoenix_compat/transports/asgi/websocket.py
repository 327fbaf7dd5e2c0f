"""Accepts websockets of an ASGI server, and answers the requests that it refuses."""

from __future__ import annotations

import inspect
import logging
from typing import Any

from phoenix_compat.endpoint import Endpoint, MountedSocket, WebSocketOptions
from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.frame import CLOSE_SERVICE_RESTART
from phoenix_compat.result import Result
from phoenix_compat.transports.asgi.connection import AsgiConnection
from phoenix_compat.transports.asgi.request import request_value, send_response
from phoenix_compat.transports.asgi.stalled_sends import StalledSends
from phoenix_compat.transports.asgi.types import Receive, Scope, Send
from phoenix_compat.transports.asgi.wire import split_messages
from phoenix_compat.transports.connections import ConnectionHub
from phoenix_compat.transports.handshake import check_handshake
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import NO_STORE, HttpResponse, refusal

log = logging.getLogger(__name__)


class WebSocketHub(ConnectionHub[AsgiConnection]):
    """All websocket connections of one mounted socket, and what they share.

    Raises:
        ConfigError: an option cannot be kept under ASGI.
    """

    def __init__(
        self, endpoint: Endpoint, socket: MountedSocket, options: WebSocketOptions
    ) -> None:
        if options.frame_timeout_s is not None:
            raise ConfigError(
                f"the socket {socket.path!r} sets frame_timeout_s, which has "
                "no effect under ASGI: the ASGI server reads the frames. Write "
                "frame_timeout_s=None"
            )
        super().__init__(endpoint, socket, options)
        self.stalled_sends = StalledSends(endpoint.limits.send_timeout_s)
        self._last_data = b""
        self._last_messages: list[str | bytes] = []

    async def handle(
        self, scope: Scope, receive: Receive, send: Send, path_params: dict[str, str]
    ) -> None:
        """Handle a websocket, or an HTTP request for the websocket path."""
        is_websocket = scope["type"] == "websocket"
        if is_websocket and (await receive())["type"] != "websocket.connect":
            return
        outcome = await check_handshake(
            self, request_value(scope), path_params, is_upgrade=is_websocket
        )
        if isinstance(outcome, HttpResponse):
            await send_response(outcome, scope, receive, send)
            return
        if not is_websocket:
            log.error(
                "the ASGI server has passed a websocket's request as plain HTTP; it needs support "
                "for websockets, for uvicorn: pip install websockets"
            )
            await send_response(refusal(501), scope, receive, send)
            return
        accept = {
            "type": "websocket.accept",
            "subprotocol": outcome.subprotocol,
            "headers": [(b"cache-control", NO_STORE["Cache-Control"].encode())],
        }
        try:
            await send(accept)
        except OSError as error:
            log.debug("a client has disconnected during its handshake: %r", error)
            return
        if not self.endpoint.is_open(self):
            await send({"type": "websocket.close", "code": CLOSE_SERVICE_RESTART})
            return
        connection = AsgiConnection(self, receive, send, outcome.serializer, outcome.socket)
        await connection.run()

    async def respond(self, request: HttpRequest, refused: Result) -> HttpResponse:
        """See handshake.Hub."""
        handler = self.options.error_handler
        assert handler is not None  # noqa: S101 - for type checkers
        response: Any = handler(request.native, refused.payload)
        if inspect.isawaitable(response):
            response = await response
        if isinstance(response, HttpResponse):
            return response
        if not callable(response):
            raise TypeError(
                f"error_handler returned {response!r}; return an ASGI application, such as a "
                "response of Starlette, or phoenix_compat.asgi.HttpResponse"
            )
        return HttpResponse(0, native=response)

    def split(self, data: bytes) -> list[str | bytes]:
        """See wire.split_messages. The clients of a fanout share the work."""
        if data is not self._last_data:
            self._last_messages = split_messages(data)
            self._last_data = data
        return self._last_messages

    def connection_ended(self, connection: AsgiConnection) -> None:
        """Remove a connection."""
        self.stalled_sends.remove(connection)
        super().connection_ended(connection)

    def _sweep(self) -> None:
        """See ConnectionHub; also notice clients for which `send` has been waiting."""
        for connection in self._connections:
            if connection.is_sending:
                self.stalled_sends.add(connection)
        super()._sweep()
