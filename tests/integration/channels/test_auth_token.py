"""The auth token of a connect: where clients send it, and the response to the handshake.

Numbers are those of docs/protocol.md, §1.6 for the most part.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from phoenix_compat import LongPollOptions, Result, Socket, SocketHandler, WebSocketOptions, ok
from phoenix_compat.conformance.suite.wire_client import HttpResponse, WireClient
from tests.both_ways import serve_both_ways  # noqa: F401 - a fixture
from tests.conftest import Dial, Serve
from tests.integration.echo_app import OpenChannel
from tests.polling import LP_V2, Poller, longpoll_app
from tests.serving import EventLog
from tests.wire import V2

BEARER = "base64url.bearer.phx."
PROTOCOL = "Sec-WebSocket-Protocol"
TOKEN = "abc1234?>"  # its base64 has a slash and a plus: standard and URL-safe are told apart
ENCODED = "YWJjMTIzND8+"
ABSENT = object()


def token_app(*, auth_token: bool = True, **options: Any) -> tuple[Any, EventLog]:
    """An application whose `connect` records its connect_info, and its event log."""
    event_log = EventLog()

    class TokenSocket(SocketHandler):
        channels = {"room:*": OpenChannel}  # noqa: RUF012 - a ClassVar of the base

        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            event_log.record(connect_info)
            return ok()

    return longpoll_app(TokenSocket, auth_token=auth_token, **options), event_log


async def offer(client: WireClient, *protocols: str) -> HttpResponse:
    """Request a websocket with these subprotocols; None sends no header."""
    extra = [(PROTOCOL, ", ".join(protocols))] if protocols else []
    return await client.handshake(V2, extra=extra)


async def token_seen(event_log: EventLog) -> Any:
    """The token of the next connect; ABSENT if there is no entry for it."""
    return (await event_log.next()).get("auth_token", ABSENT)


# Websocket: the table of §1.6.


@pytest.mark.parametrize(
    ("protocols", "selected", "token"),
    [
        (("phoenix", BEARER + ENCODED), "phoenix", TOKEN),
        ((BEARER + ENCODED, "phoenix"), "phoenix", TOKEN),
        (("other", BEARER + ENCODED, "phoenix"), "phoenix", TOKEN),
        ((BEARER + ENCODED,), None, TOKEN),
        ((), None, None),
        (("phoenix",), "phoenix", None),
        (("phoenix", BEARER), "phoenix", ""),
        ((BEARER,), None, ""),
        ((BEARER + ENCODED, BEARER + ENCODED, "phoenix"), "phoenix", None),
        (("phoenix", BEARER + "eA", BEARER + "eQ"), "phoenix", None),
        (("phoenix", BEARER.upper() + ENCODED), "phoenix", None),
        (("phoenix", "base64url.bearer." + ENCODED), "phoenix", None),
    ],
)
async def test_the_table(
    serve: Serve, dial: Dial, protocols: tuple[str, ...], selected: str | None, token: str | None
) -> None:
    """101 with `phoenix` exactly if it was offered; never the bearer."""
    app, event_log = token_app()

    response = await offer(await dial(await serve(app)), *protocols)

    assert response.status == 101
    assert response.header(PROTOCOL) == selected
    assert await token_seen(event_log) == token


@pytest.mark.parametrize(
    "protocols",
    [
        ("foo",),
        ("foo", BEARER + ENCODED),
        ("Phoenix",),
        (BEARER + "eA", BEARER + "eQ"),
    ],
)
async def test_no_subprotocol_in_common(
    serve: Serve, dial: Dial, caplog: pytest.LogCaptureFixture, protocols: tuple[str, ...]
) -> None:
    """403 with an empty body, logged, and `connect` is not called."""
    app, event_log = token_app()

    response = await offer(await dial(await serve(app)), *protocols)

    assert (response.status, response.body) == (403, b"")
    assert event_log.is_empty
    assert "Could not check Websocket subprotocols" in caplog.text


@pytest.mark.parametrize(
    ("protocols", "selected"),
    [
        (("sip", BEARER + ENCODED), "sip"),
        (("sip", "phoenix", BEARER + ENCODED), "phoenix"),
        ((BEARER + ENCODED,), None),
    ],
)
async def test_with_subprotocols_of_its_own(
    serve: Serve, dial: Dial, protocols: tuple[str, ...], selected: str | None
) -> None:
    """§1.6, §10.11: `phoenix` comes first in the server's list, then the configured names."""
    app, event_log = token_app(websocket=WebSocketOptions(subprotocols=["sip"]))

    response = await offer(await dial(await serve(app)), *protocols)

    assert (response.status, response.header(PROTOCOL)) == (101, selected)
    assert await token_seen(event_log) == TOKEN


@pytest.mark.parametrize(
    ("encoded", "token"),
    [
        ("eA", "x"),
        ("eA==", "x"),
        ("eHk", "xy"),
        ("eHk=", "xy"),
        ("eHl6", "xyz"),
        (base64.b64encode("жé😀".encode()).decode(), "жé😀"),
        (base64.b64encode(b"x" * 3000).decode().rstrip("="), "x" * 3000),
    ],
)
async def test_padding_is_optional(serve: Serve, dial: Dial, encoded: str, token: str) -> None:
    """§1.6, §10.13: phoenix.js omits the equals signs; other clients may not."""
    app, event_log = token_app()

    response = await offer(await dial(await serve(app)), "phoenix", BEARER + encoded)

    assert response.status == 101
    assert await token_seen(event_log) == token


@pytest.mark.parametrize("encoded", ["YWJjMTIzND8-", "YW_j", "!", "e", "eA%3D%3D", "eA.", "e=A"])
async def test_a_token_that_is_not_base64(serve: Serve, dial: Dial, encoded: str) -> None:
    """§1.3.5, §1.6, §10.13: HTTP 500, also for the URL-safe alphabet; `connect` is not called."""
    app, event_log = token_app()
    base_url = await serve(app)

    response = await offer(await dial(base_url), "phoenix", BEARER + encoded)

    assert response.status == 500
    assert event_log.is_empty
    assert (await offer(await dial(base_url), "phoenix")).status == 101


async def test_the_origin_is_checked_before_the_token(serve: Serve, dial: Dial) -> None:
    """§1.3: step 4 comes before step 5: 403, although the token is malformed."""
    app, _diary = token_app()
    extra = [(PROTOCOL, f"{BEARER}!"), ("Origin", "http://evil.com")]

    response = await (await dial(await serve(app))).handshake(V2, extra=extra)

    assert response.status == 403


async def test_connect_does_not_see_the_token_twice(serve: Serve, dial: Dial) -> None:
    """§1.8: sec_websocket_headers has the header without the token, or no such header."""
    app, event_log = token_app()
    base_url = await serve(app)

    await offer(await dial(base_url), "phoenix", BEARER + ENCODED)
    await offer(await dial(base_url), BEARER + ENCODED)

    first, second = await event_log.next(), await event_log.next()
    name = PROTOCOL.lower()
    assert dict(first["sec_websocket_headers"])[name] == "phoenix"
    assert name not in dict(second["sec_websocket_headers"])


async def test_where_it_is_not_wanted_it_is_not_looked_for(serve: Serve, dial: Dial) -> None:
    """§1.6: without `auth_token` the header is not checked, and passed on unchanged."""
    app, event_log = token_app(auth_token=False)

    response = await offer(await dial(await serve(app)), "phoenix", BEARER + "!")

    info = await event_log.next()
    assert (response.status, response.header(PROTOCOL)) == (101, None)
    assert "auth_token" not in info
    assert dict(info["sec_websocket_headers"])[PROTOCOL.lower()] == f"phoenix, {BEARER}!"


async def test_the_token_reaches_the_log_filtered(
    serve: Serve, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """§1.4: the log of the connect does not contain the token."""
    caplog.set_level("DEBUG", "phoenix_compat")
    app, _diary = token_app()

    await offer(await dial(await serve(app)), "phoenix", BEARER + ENCODED)

    assert "CONNECTED TO" in caplog.text
    assert TOKEN not in caplog.text
    assert ENCODED not in caplog.text


# Long-polling: a header, raw.


@pytest.mark.parametrize("token", [TOKEN, "", "not base64!", "a, b"])
async def test_the_header_of_long_polling(serve: Serve, token: str) -> None:
    """§1.6: `X-Phoenix-AuthToken`, unchanged."""
    app, event_log = token_app()

    await Poller.open(await serve(app), LP_V2, {"X-Phoenix-AuthToken": token})

    assert await token_seen(event_log) == token


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {TOKEN}"},
        {PROTOCOL: f"phoenix, {BEARER}{ENCODED}"},
    ],
)
async def test_no_other_header_will_do(serve: Serve, headers: dict[str, str]) -> None:
    """§1.6: without that header the entry is None."""
    app, event_log = token_app()

    await Poller.open(await serve(app), LP_V2, headers)

    assert await token_seen(event_log) is None


async def test_the_header_is_read_by_the_first_get_alone(serve: Serve) -> None:
    """§1.6: the headers of later polls and posts have no effect."""
    app, event_log = token_app()
    client = await Poller.open(await serve(app), LP_V2, {"X-Phoenix-AuthToken": TOKEN})
    await client.join()
    await client.send(["1", "2", "room:a", "echo", {}])

    polled = await client.get({"X-Phoenix-AuthToken": "another"})

    assert polled.json["status"] == 200
    assert await token_seen(event_log) == TOKEN
    assert event_log.is_empty


async def test_a_poll_with_a_dead_token_connects_with_its_header(serve: Serve) -> None:
    """§1.6, §5.3: a GET that creates a new session after a lost one is a first GET too."""
    app, event_log = token_app()
    client = Poller(await serve(app))

    answer = await client.request("GET", None, {"X-Phoenix-AuthToken": TOKEN}, token="dead")

    assert answer.json["status"] == 410
    assert await token_seen(event_log) == TOKEN


async def test_long_polling_without_auth_tokens(serve: Serve) -> None:
    """§1.6: without `auth_token` the header is an ordinary header."""
    app, event_log = token_app(auth_token=False, longpoll=LongPollOptions())

    await Poller.open(await serve(app), LP_V2, {"X-Phoenix-AuthToken": TOKEN})

    info = await event_log.next()
    assert "auth_token" not in info
    assert ("x-phoenix-authtoken", TOKEN) in info["x_headers"]
