"""The websocket transport, on aiohttp's websocket."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import Sequence
from typing import Final

import aiohttp
from yarl import URL

from phoenix_compat.client.errors import ConnectError
from phoenix_compat.client.session import UpgradeFailedError
from phoenix_compat.client.transports.connection import ConnectionLostError, SocketAddress
from phoenix_compat.protocol.message import BinaryFrame, Frame

AUTH_TOKEN_PREFIX: Final = "base64url.bearer.phx."  # noqa: S105 - not a secret
CLOSE_TIMEOUT_S: Final = 1.0
"""How long closing waits for a transport that does not take the close frame."""
NO_STATUS: Final = 1005
ABNORMAL_CLOSURE: Final = 1006
_MAX_BATCH: Final = 64


class WebSocketConnection:
    """One websocket. It answers pings by itself."""

    __slots__ = ("_socket",)

    has_heartbeats = True
    max_batch = _MAX_BATCH

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket

    async def receive(self) -> tuple[bytes, bool]:
        """See Connection."""
        message = await self._socket.receive()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                data = message.data
                return (data.encode() if isinstance(data, str) else bytes(data)), False
            case aiohttp.WSMsgType.BINARY:
                return bytes(message.data), True
            case aiohttp.WSMsgType.CLOSE | aiohttp.WSMsgType.ERROR:
                code = self._socket.close_code or NO_STATUS
                raise ConnectionLostError(code, "the websocket was closed")
            case _:
                raise ConnectionLostError(ABNORMAL_CLOSURE, "the connection was lost")

    async def send(self, frames: Sequence[Frame]) -> None:
        """See Connection."""
        try:
            for frame in frames:
                is_binary = isinstance(frame, BinaryFrame)
                opcode = aiohttp.WSMsgType.BINARY if is_binary else aiohttp.WSMsgType.TEXT
                await self._socket.send_frame(frame, opcode)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise ConnectionLostError(ABNORMAL_CLOSURE, "cannot write") from error

    async def close(self, code: int, reason: str) -> None:
        """See Connection."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason.encode())
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            return  # the transport was full or gone, and is closed


async def open_websocket(
    session: aiohttp.ClientSession,
    address: SocketAddress,
    url: URL,
    auth_token: str | None,
    max_message_bytes: int,
) -> WebSocketConnection:
    """Open a websocket.

    Raises:
        ConnectError: the server refused, or cannot be reached.
    """
    try:
        socket = await session.ws_connect(
            url,
            protocols=() if auth_token is None else auth_protocols(auth_token),
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
            max_msg_size=max_message_bytes,
            decode_text=False,
        )
    except aiohttp.WSServerHandshakeError as error:
        # Its text has the URL with the params.
        reason = f"the server answers the upgrade with status {error.status}"
        raise ConnectError(address.text, reason, error.status) from None
    except UpgradeFailedError:
        raise ConnectError(address.text, "the connection was lost before the answer") from None
    except (OSError, UnicodeError, aiohttp.ClientError) as error:
        raise ConnectError(address.text, reason_of(error)) from None
    return WebSocketConnection(socket)


def auth_protocols(token: str) -> tuple[str, str]:
    """The subprotocols that carry an auth token; despite the name it is standard base64.

    Source: phoenix.js 1.8, socket.js, transportConnect.
    """
    encoded = base64.b64encode(token.encode()).decode().rstrip("=")
    return ("phoenix", AUTH_TOKEN_PREFIX + encoded)


def reason_of(error: Exception) -> str:
    """Why a request failed, without its URL."""
    os_error = error if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    if isinstance(error, aiohttp.ClientSSLError):
        os_error = None
    elif isinstance(error, aiohttp.ClientConnectorError):
        os_error = error.os_error
    if os_error is not None and os_error.errno is not None and os_error.errno > 0:
        return os.strerror(os_error.errno).lower()
    if os_error is not None and os_error.strerror:  # of a name that cannot be resolved
        return os_error.strerror.lower()
    match error:
        case ssl.SSLError() | aiohttp.ClientSSLError():
            return "the TLS handshake failed"
        case UnicodeError() | aiohttp.InvalidURL():
            return "this is not a host name"
        case aiohttp.ServerDisconnectedError():
            return "the connection was lost before the answer"
        case _:
            return "the answer cannot be understood"
