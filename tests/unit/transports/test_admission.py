"""Who is admitted: origins, versions, and what was mounted."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import ConfigError, Endpoint, Socket, SocketHandler, WebSocketOptions, ok
from phoenix_compat.protocol.origin import parse_origin
from phoenix_compat.protocol.serializer import V1, V2
from phoenix_compat.result import Result, error
from phoenix_compat.socket import ConnectInfo
from phoenix_compat.transports.admission import (
    Admitted,
    admit,
    check_all_mounted,
    is_from_allowed_origin,
)

CONN = parse_origin("http://here:4000")


class UserSocket(SocketHandler):
    """Refuses whoever says so."""

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        socket.assign(info=connect_info, params=params)
        return error(reason="denied") if params.get("token") == "deny" else ok()


async def admitted(params: Any) -> Any:
    """The outcome for a request with these params."""
    endpoint, options = Endpoint(), WebSocketOptions()
    endpoint.socket("/socket", UserSocket, websocket=options)
    [socket] = endpoint.sockets
    return await admit(params, ConnectInfo(uri="/u"), endpoint, socket, options)


@pytest.mark.parametrize(
    ("params", "serializer"), [({}, V1), ({"vsn": "1.0.0"}, V1), ({"vsn": "2.0.0"}, V2)]
)
async def test_the_version_is_negotiated(params: Any, serializer: Any) -> None:
    """Without `vsn` it is V1; connect gets the params and what is known of the request."""
    found = await admitted({**params, "user": "ann"})

    assert isinstance(found, Admitted)
    assert found.serializer is serializer
    assert found.socket.assigns == {"info": {"uri": "/u"}, "params": {**params, "user": "ann"}}
    assert found.socket.transport == "websocket"


async def test_connect_may_refuse() -> None:
    """Its answer is returned."""
    assert await admitted({"token": "deny"}) == error(reason="denied")


@pytest.mark.parametrize(
    ("vsn", "line"),
    [
        ("3.0.0", 'requested transport version "3.0.0" does not match server\'s version'),
        ("two", 'Client sent invalid transport version "two"'),
        (["2.0.0"], "Client sent invalid transport version ['2.0.0']"),
    ],
)
async def test_other_versions_are_refused(
    vsn: Any, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With an error without a reason; the log says why, as that of Phoenix."""
    assert await admitted({"vsn": vsn}) == error()
    assert line in caplog.text


@pytest.mark.parametrize(
    ("origin", "of_endpoint", "of_socket", "is_allowed"),
    [
        (None, ["//other"], None, True),
        ("http://there", ["//there"], None, True),
        ("http://here", ["//there"], None, False),
        ("http://there", ["//there"], ["//here"], False),
        ("http://here", ["//there"], ["//here"], True),
        ("http://there", ["//there"], False, True),
        ("http://here:4000", "conn", None, True),
        ("http://here:4001", "conn", None, False),
    ],
)
def test_the_origin(
    origin: str | None,
    of_endpoint: Any,
    of_socket: Any,
    is_allowed: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The socket's own setting replaces that of the endpoint; a refusal is logged."""
    endpoint = Endpoint(check_origin=of_endpoint)
    options = WebSocketOptions(check_origin=of_socket)

    assert is_from_allowed_origin(origin, CONN, endpoint, options) is is_allowed
    assert (f"Origin of the request: {origin}" in caplog.text) is not is_allowed


def test_a_socket_that_was_added_after_mount() -> None:
    """It would not be served: the error names it."""
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    check_all_mounted(endpoint, 1)

    endpoint.socket("/late", UserSocket)

    with pytest.raises(ConfigError, match=r"'/late' was added after mount"):
        check_all_mounted(endpoint, 1)
