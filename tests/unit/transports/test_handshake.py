"""Which requests become websockets, as a function from requests to decisions."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Result, Socket, SocketHandler, WebSocketOptions, error, ok
from phoenix_compat.protocol.serializer import V1, V2
from phoenix_compat.transports.handshake import Accepted, check_handshake
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import HttpResponse
from tests.unit.transports.hubs import FakeWebSocketHub, a_request

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class UserSocket(SocketHandler):
    """Refuses as the parameters say, and keeps what it gets."""

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        """Accept, or refuse with or without a reason."""
        socket.assign(params=params, info=connect_info)
        if "refuse" in params:
            return error()
        return error("the reason") if "reason" in params else ok()


def an_upgrade(query: str = "vsn=2.0.0", **headers: str) -> HttpRequest:
    """A request for a websocket."""
    return a_request(query=query, path="/socket/websocket", **{**UPGRADE, **headers})


async def checked(hub: Any, request: HttpRequest, **options: Any) -> Accepted | HttpResponse:
    """The decision, with a path variable."""
    return await check_handshake(hub, request, {"room": "lobby"}, **options)


async def refused(hub: Any, request: HttpRequest, **options: Any) -> HttpResponse:
    """The response to a request that is refused."""
    outcome = await checked(hub, request, **options)
    assert isinstance(outcome, HttpResponse)
    return outcome


async def accepted(hub: Any, request: HttpRequest, **options: Any) -> Accepted:
    """The client of a request that is accepted."""
    outcome = await checked(hub, request, **options)
    assert isinstance(outcome, Accepted)
    return outcome


@pytest.mark.parametrize(("query", "serializer"), [("vsn=2.0.0", V2), ("vsn=1.0.0", V1), ("", V1)])
async def test_a_client(query: str, serializer: Any) -> None:
    """It gets its version, and `connect` the query and the path variables."""
    client = await accepted(FakeWebSocketHub(UserSocket), an_upgrade(f"{query}&room=other&a=1"))

    assert client.serializer is serializer
    assert client.subprotocol is None
    assert client.socket.assigns["params"]["room"] == "lobby"
    assert client.socket.assigns["params"]["a"] == "1"
    assert "auth_token" not in client.socket.assigns["info"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (a_request("POST", path="/socket/websocket", **UPGRADE), 400),
        (an_upgrade("a=%ff"), 400),
        (an_upgrade(Origin="http://elsewhere.example"), 403),
        (an_upgrade("vsn=3.0.0"), 403),
        (an_upgrade("vsn=2.0.0&refuse"), 403),
        (a_request(path="/socket/websocket"), 400),
        (an_upgrade(Sec_WebSocket_Version="12"), 400),
    ],
)
async def test_a_request_that_is_refused(request_: HttpRequest, status: int) -> None:
    """Method, query, origin, version, `connect`, and only then the upgrade."""
    response = await refused(FakeWebSocketHub(UserSocket), request_)

    assert response.status == status


async def test_two_keys() -> None:
    """Phoenix fails, and so does this server; the connection is closed."""
    request = an_upgrade()
    request.headers.add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")  # type: ignore[attr-defined] # a CIMultiDict

    response = await refused(FakeWebSocketHub(UserSocket), request)

    assert (response.status, response.closes) == (500, True)


async def test_a_server_that_has_checked_the_upgrade() -> None:
    """An ASGI server has; its requests have no upgrade headers."""
    request = a_request(path="/socket/websocket")

    assert await accepted(FakeWebSocketHub(UserSocket), request, is_upgrade=True)


@pytest.mark.parametrize("is_upgrade", [False, True])
async def test_an_endpoint_that_is_closing(is_upgrade: bool) -> None:
    """It is not available any more."""
    hub = FakeWebSocketHub(UserSocket)
    hub.is_open = False

    assert (await refused(hub, an_upgrade(), is_upgrade=is_upgrade)).status == 503


async def test_an_error_handler_gets_reasons_only() -> None:
    """A refusal without a reason is a 403."""
    hub = FakeWebSocketHub(
        UserSocket, WebSocketOptions(error_handler=lambda *_: None, subprotocols=["a"])
    )

    without = await refused(hub, an_upgrade("refuse", Sec_WebSocket_Protocol="a"))
    reason = await refused(hub, an_upgrade("reason", Sec_WebSocket_Protocol="b, a"))

    assert (without.status, reason.status) == (403, 402)
    assert hub.refusals == ["the reason"]
    assert without.headers["Sec-WebSocket-Protocol"] == "a"
    assert reason.headers == {"X-By": "handler", "Sec-WebSocket-Protocol": "a"}


@pytest.mark.parametrize(
    ("offered", "chosen"), [("a, phoenix", "phoenix"), ("phoenix", "phoenix"), (None, None)]
)
async def test_subprotocols(offered: str | None, chosen: str | None) -> None:
    """The first one that both have."""
    hub = FakeWebSocketHub(UserSocket, WebSocketOptions(subprotocols=["phoenix"]))
    headers = {} if offered is None else {"Sec_WebSocket_Protocol": offered}

    assert (await accepted(hub, an_upgrade(**headers))).subprotocol == chosen


async def test_a_subprotocol_that_nobody_knows() -> None:
    """It is refused."""
    hub = FakeWebSocketHub(UserSocket, WebSocketOptions(subprotocols=["phoenix"]))

    assert (await refused(hub, an_upgrade(Sec_WebSocket_Protocol="other"))).status == 403


@pytest.mark.parametrize(
    ("header", "token"),
    [("phoenix, base64url.bearer.phx.c2VjcmV0", "secret"), ("phoenix", None), (None, None)],
)
async def test_the_auth_token(header: str | None, token: str | None) -> None:
    """It comes as a subprotocol, and is an entry of `connect_info`."""
    hub = FakeWebSocketHub(UserSocket, auth_token=True)
    headers = {} if header is None else {"Sec_WebSocket_Protocol": header}

    client = await accepted(hub, an_upgrade(**headers))

    assert client.socket.assigns["info"]["auth_token"] == token
    assert client.subprotocol == (None if header is None else "phoenix")
    shown = dict(client.socket.assigns["info"]["sec_websocket_headers"])
    assert shown.get("sec-websocket-protocol") == (None if header is None else "phoenix")


async def test_an_auth_token_that_is_not_base64() -> None:
    """Phoenix fails, and so does this server."""
    hub = FakeWebSocketHub(UserSocket, auth_token=True)

    response = await refused(
        hub, an_upgrade(Sec_WebSocket_Protocol="phoenix, base64url.bearer.phx.?")
    )

    assert response.status == 500
    assert "Sec-WebSocket-Protocol" not in response.headers
