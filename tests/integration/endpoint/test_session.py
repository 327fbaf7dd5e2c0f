"""Sessions, cookies and values per connection in `connect_info`, over websocket and long-poll."""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import aiohttp_session
import pytest
from aiohttp import web

from phoenix_compat import (
    ConfigError,
    Endpoint,
    LongPollOptions,
    Socket,
    SocketHandler,
    WebSocketOptions,
    csrf_token,
    mount,
    ok,
)
from phoenix_compat.result import Result
from tests.both_ways import serve_both_ways  # noqa: F401 - a fixture
from tests.serving import EventLog, serving

# aiohttp_session 2.12 keeps its values under plain names.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

Open = Callable[[aiohttp.ClientSession, str, dict[str, str]], Awaitable[int]]


async def open_websocket(client: aiohttp.ClientSession, url: str, params: dict[str, str]) -> int:
    """Open and close a websocket; return the status of its handshake."""
    try:
        async with client.ws_connect(f"{url}/socket/websocket", params=params):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


async def open_longpoll(client: aiohttp.ClientSession, url: str, params: dict[str, str]) -> int:
    """Begin a long-poll session; return the status."""
    async with client.get(f"{url}/socket/longpoll", params=params) as response:
        return response.status


both = pytest.mark.parametrize("connect", [open_websocket, open_longpoll])


def session_app(*, has_sessions: bool = True, **options: Any) -> tuple[web.Application, EventLog]:
    """An application with a page, whose `connect` records its connect_info."""
    event_log = EventLog()

    class SessionSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            event_log.record(connect_info)
            return ok()

    async def page(request: web.Request) -> web.Response:
        session = await aiohttp_session.get_session(request)
        session["user_id"] = 7
        return web.Response(text=f'<meta name="csrf-token" content="{csrf_token(session)}">')

    app = web.Application()
    if has_sessions:
        aiohttp_session.setup(app, aiohttp_session.SimpleCookieStorage())
    app.router.add_get("/", page)
    endpoint = Endpoint(check_origin=False)
    endpoint.socket(
        "/socket",
        SessionSocket,
        websocket=WebSocketOptions(**options),
        longpoll=LongPollOptions(**options),
    )
    mount(app, endpoint)
    return app, event_log


async def token_of_page(client: aiohttp.ClientSession, url: str) -> str:
    """Open the page, which sets the session's cookie; return its token."""
    async with client.get(url) as response:
        found = re.search('content="(.+)"', await response.text())
    assert found is not None
    return found[1]


def a_client() -> aiohttp.ClientSession:
    """A browser: it keeps the cookies of an IP address too."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


@both
async def test_the_session_of_a_page(connect: Open) -> None:
    """A page with a session and its token opens a socket with that session."""
    app, event_log = session_app(session=True)

    async with serving(app) as url, a_client() as client:
        token = await token_of_page(client, url)
        await connect(client, url, {"vsn": "2.0.0", "_csrf_token": token})
        info = await event_log.next()

    assert info["session"]["user_id"] == 7


@both
async def test_the_cookie_alone(connect: Open) -> None:
    """A page of another site has the cookie and not the token: its session is None."""
    app, event_log = session_app(session=True)

    async with serving(app) as url, a_client() as client:
        await token_of_page(client, url)
        await connect(client, url, {"vsn": "2.0.0", "_csrf_token": "x" * 56})
        info = await event_log.next()

    assert info["session"] is None


@both
async def test_no_cookie(connect: Open) -> None:
    """A client without a cookie has no session, and may connect all the same."""
    app, event_log = session_app(session=True, check_csrf=True)

    async with serving(app) as url, a_client() as client:
        await connect(client, url, {"vsn": "2.0.0"})
        info = await event_log.next()

    assert info["session"] is None


@both
async def test_cookies_and_values_per_connection(connect: Open) -> None:
    """`cookies` gives the cookies, and a function of the request gives further entries."""

    async def entries(request: web.Request) -> dict[str, Any]:
        return {"agent": request.headers["User-Agent"]}

    app, event_log = session_app(cookies=True, connect_info=entries)

    async with serving(app) as url, aiohttp.ClientSession(headers={"Cookie": "a=1"}) as client:
        await connect(client, url, {"vsn": "2.0.0"})
        info = await event_log.next()

    assert info["cookies"] == {"a": "1"}
    assert "aiohttp" in info["agent"]


@both
async def test_an_application_without_the_middleware(
    connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """`session=True` without aiohttp_session.setup is a 500, and the log names the line."""
    app, _ = session_app(has_sessions=False, session=True)

    async with serving(app) as url, a_client() as client:
        status = await connect(client, url, {"vsn": "2.0.0"})

    assert status == 500
    assert "call aiohttp_session.setup(app, storage), or give a function" in caplog.text


async def test_an_application_without_aiohttp_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing has imported aiohttp_session, the application does not start."""
    app, _ = session_app(has_sessions=False, session=True)
    monkeypatch.delitem(sys.modules, "aiohttp_session")
    runner = web.AppRunner(app)

    with pytest.raises(ConfigError, match=r"call aiohttp_session\.setup"):
        await runner.setup()


def test_neither_origin_nor_token_is_checked() -> None:
    """Then any web page could use the sessions of its visitors: refused, as in Phoenix."""
    with pytest.raises(ConfigError, match="check_csrf=False, check_origin must not be False"):
        session_app(session=True, check_csrf=False)
