"""Why a connection failed, in words."""

from __future__ import annotations

import http.client
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from phoenix_compat.operations.reason import reason_of

KEY = ConnectionKey("h", 1, False, True, None, None, None)
REQUEST = aiohttp.RequestInfo(URL("http://h"), "GET", None)  # type: ignore[arg-type] # not read


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (OSError("Multiple exceptions: [Errno 111] …, [Errno 111] …"), "no connection can be made"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError(), "it does not answer in time"),
        (aiohttp.ServerTimeoutError(), "it does not answer in time"),
        (EOFError(), "it closed the connection"),
        (http.client.RemoteDisconnected("x"), "it closed the connection"),
        (aiohttp.ServerDisconnectedError(), "it closed the connection"),
        (http.client.BadStatusLine("x"), "its answer cannot be understood"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] …"), "the TLS handshake failed"),
        (UnicodeError("encoding with 'idna' codec failed"), "this is not a host name"),
        (
            aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "Connect call failed")),
            "Connection refused",
        ),
        (
            aiohttp.ClientResponseError(REQUEST, (), status=404),
            "it answers with status 404",
        ),
        (aiohttp.InvalidURL("http://a..b"), "this is not a valid URL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_reason_has_no_class_name_and_no_number(error: Exception, reason: str) -> None:
    """Errors of sockets, TLS, the standard library's client and aiohttp have a phrase each."""
    assert reason_of(error).startswith(reason)
