"""The socket of the console: for pages of this server, and for clients that may operate it."""

from __future__ import annotations

from typing import Any, Final

import structlog

from phoenix_compat.endpoint import Endpoint, WebSocketOptions
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.protocol.query import Params
from phoenix_compat.result import Result, error, ok
from phoenix_compat.server.auth.authenticator import Authenticator
from phoenix_compat.server.auth.principal import Principal, Scope
from phoenix_compat.server.channel.socket_authentication import DISCONNECT, SocketAuthentication
from phoenix_compat.server.console.channel_list import CHANNELS
from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.rates.connect_attempt import current_attempt
from phoenix_compat.server.rates.rate_limiter import RateLimitedError, RateLimiter
from phoenix_compat.socket import ConnectInfo, Socket, SocketHandler

SOCKET_PATH: Final = "/console/socket"

_ORIGIN: Final = "origin"
_HOST: Final = "host"
_MAX_MESSAGE_BYTES: Final = 64 * 1024
_MAX_FRAME_HEADER_BYTES: Final = 14

log = structlog.stdlib.get_logger(__name__)


def add_console_socket(
    context: ConsoleContext, authenticator: Authenticator, limiter: RateLimiter
) -> None:
    """Mount the socket at the console's endpoint.

    Args:
        limiter: limits connects and failed credentials.
    """
    authentication = SocketAuthentication(authenticator, limiter, closes_expired=True)
    revoked = _Revocations(context.server_endpoint, context.endpoint)

    class ConsoleSocket(SocketHandler):
        """Clients with the scope `operate` may connect; a page must be one of this server."""

        channels = {topic: (channel, context.assigns) for topic, channel in CHANNELS.items()}  # noqa: RUF012 - a ClassVar of the base

        async def connect(
            self, params: Params, socket: Socket, connect_info: ConnectInfo
        ) -> Result:
            attempt = current_attempt()
            if not _is_own_page(dict(connect_info["headers"]), attempt.base_url):
                log.warning("console.refused", reason="a page of another origin")
                return error()
            if not await authentication.connect(params, socket, connect_info):
                return error()
            principal: Principal = socket.assigns["principal"]
            if not principal.allows(Scope.OPERATE):
                log.info("console.refused", reason="the credential may not operate the server")
                return error()
            try:
                limiter.take_connect(principal.owner, attempt.address)
            except RateLimitedError as too_fast:
                attempt.refused = too_fast
                return error()
            socket.audience = attempt.base_url
            revoked.follow(authentication.socket_id(socket))
            return ok()

        def id(self, socket: Socket) -> str | None:
            return authentication.socket_id(socket)

    context.endpoint.socket(
        SOCKET_PATH,
        ConsoleSocket,
        websocket=WebSocketOptions(
            # `connect` checks it: the setting is for apps, and never opens the console.
            check_origin=False,
            headers=(*authentication.header_names, _ORIGIN, _HOST),
            max_frame_bytes=_MAX_MESSAGE_BYTES + _MAX_FRAME_HEADER_BYTES,
            max_message_bytes=_MAX_MESSAGE_BYTES,
            frame_timeout_s=30.0,
        ),
        auth_token=True,
    )


def _is_own_page(headers: dict[str, Any], base_url: str) -> bool:
    """Whether the page that connects is of this server: host and port are those of the request.

    Another server on this machine, on another port, is another origin. Clients without Origin are
    not in a browser.
    """
    origin = headers.get(_ORIGIN)
    if origin is None:
        return True
    _, separator, place = str(origin).lower().partition("://")
    own = {str(headers.get(_HOST, "")).lower(), base_url.lower().partition("://")[2]} - {""}
    return bool(separator) and place in own


class _Revocations:
    """Closes the console's sockets of an owner whose key was revoked.

    The server's own endpoint learns of it. The owners are those of keys that may operate, which are
    few.
    """

    def __init__(self, source: Endpoint, target: Endpoint) -> None:
        self._source = source
        self._target = target
        self._followed: set[str] = set()

    def follow(self, topic: str | None) -> None:
        """Pass on what closes the sockets with this id."""
        if topic is not None and topic not in self._followed:
            self._followed.add(topic)
            self._source.subscribe(topic, self._pass_on)

    def _pass_on(self, broadcast: Broadcast) -> None:
        if broadcast.event == DISCONNECT:
            self._target.local_broadcast(broadcast.topic, DISCONNECT, {})
