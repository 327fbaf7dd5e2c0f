"""Sockets in an aiohttp application: docs/protocol.md §1.1."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from yarl import URL

from phoenix_compat import ConfigError, Endpoint, WebSocketOptions, mount
from phoenix_compat.endpoint import TransportOptions
from phoenix_compat.transports.aiohttp.mount import SocketResource
from tests.serving import accepting

AnySocket = accepting({})


async def no_handler(_request: web.Request) -> web.StreamResponse:
    """A handler that is never called."""
    raise NotImplementedError


def an_app(*mounts: tuple[str, str]) -> web.Application:
    """An application with sockets at these paths, each with the path of its websocket."""
    endpoint = Endpoint()
    for path, websocket in mounts:
        endpoint.socket(path, AnySocket, websocket=WebSocketOptions(path=websocket))
    app = web.Application()
    mount(app, endpoint)
    return app


async def captured(app: web.Application, path: str, method: str = "GET") -> dict[str, str] | None:
    """The variables of the path if a socket matches it, otherwise None."""
    found = await app.router.resolve(make_mocked_request(method, path))
    return None if found.http_exception is not None else dict(found)


@pytest.mark.parametrize(
    ("path", "is_served"),
    [
        ("/socket/websocket", True),
        ("/socket/websocket/", True),
        ("/socket//websocket//", True),
        ("/socket/websocket?vsn=2.0.0", True),
        ("/socket", False),
        ("/socket/", False),
        ("/", False),
        ("/socket/longpoll", False),
        ("/socket/websocket/more", False),
        ("/Socket/websocket", False),
        ("/socket/WebSocket", False),
        ("/other/socket/websocket", False),
    ],
)
async def test_segments_are_compared(path: str, is_served: bool) -> None:
    """Paths are compared by segments; empty segments are ignored, case matters."""
    app = an_app(("/socket", "/websocket"))

    assert (await captured(app, path) is not None) is is_served


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "CONNECT"])
async def test_every_method_reaches_the_socket(method: str) -> None:
    """The transport refuses wrong methods itself, with 400 instead of 405."""
    app = an_app(("/socket", "/websocket"))

    assert await captured(app, "/socket/websocket", method) == {}


@pytest.mark.parametrize(
    ("mounted", "path", "expected"),
    [
        (("/custom/some_path", "nested/path"), "/custom/some_path/nested/path", {}),
        (("/ws/admin", "websocket"), "/ws/admin/websocket", {}),
        (("/", "/websocket"), "/websocket", {}),
        (
            ("/vars/:tenant", "/x/:n/ws"),
            "/vars/acme/x/7/ws",
            {"tenant": "acme", "n": "7"},
        ),
        (("/vars/:_hidden/:seen", "/ws"), "/vars/a/b/ws", {"seen": "b"}),
        (("/vars/:name", "/ws"), "/vars//ws", None),
        (("/w%20s", "/ws"), "/w s/ws", None),
        (("/socket", "/ws"), "/s%6fcket/ws", None),
        (("/socket", "/ws"), "/socket/w%73", None),
        (("/socket", "/ws"), "/socket%2Fws", None),
        (("/vars/:name", "/ws"), "/v%61rs/a/ws", None),
    ],
)
async def test_paths_and_variables(
    mounted: tuple[str, str], path: str, expected: dict[str, str] | None
) -> None:
    """B5: both paths are joined, compared as sent; `:name` captures, `:_name` is no parameter."""
    assert await captured(an_app(mounted), path) == expected


@pytest.mark.parametrize(
    "sent",
    [
        *("%41", "%41%2fb", "%2F", "J%C3%BCrgen%20M", "a+b", "a%2Bb"),
        *("%zz", "%", "%4", "%FF", "%00"),
        *(".", "..", "%2E%2E", "a;b=1", "a\\b"),
    ],
)
@pytest.mark.parametrize("base", ["", "http://example.com"])
async def test_a_variable_is_passed_on_as_it_was_sent(base: str, sent: str) -> None:
    """§1.1: nothing is decoded, so no escape is invalid; the same with a whole URL as target.

    Source: phoenix 1.8.12, lib/phoenix/endpoint.ex, socket_dispatch/2: it matches `conn.path_info`,
    which Plug does not decode; real Phoenix was asked for each of these.
    """
    app = an_app(("/vars/:name", "/ws"))

    assert await captured(app, f"{base}/vars/{sent}/ws") == {"name": sent}


async def test_sockets_and_other_routes_coexist() -> None:
    """Other routes, registered earlier or later, work as before."""
    app = an_app(("/socket", "/websocket"), ("/:any", "/ws"))
    app.router.add_get("/socket", no_handler)
    app.router.add_get("/hello/{name}", no_handler)

    assert await captured(app, "/socket") == {}
    assert await captured(app, "/hello/you") == {"name": "you"}
    assert await captured(app, "/room/ws") == {"any": "room"}
    assert await captured(app, "/nowhere") is None


async def test_a_socket_in_a_sub_application() -> None:
    """A sub-application's prefix stands before the socket's path."""
    app = web.Application()

    app.add_subapp("/api", an_app(("/socket", "/websocket")))

    assert await captured(app, "/api/socket/websocket") == {}
    assert await captured(app, "/socket/websocket") is None


def test_a_resource_tells_about_itself() -> None:
    """aiohttp's introspection shows the path, and builds URLs with the variables."""
    resource = SocketResource("/vars/:tenant//ws/", no_handler)
    (route,) = list(resource)

    assert len(resource) == 1
    assert resource.get_info() == route.get_info() == {"path": "/vars/:tenant/ws"}
    assert resource.url_for(tenant="acme") == route.url_for(tenant="acme") == URL("/vars/acme/ws")
    assert resource.raw_match("//vars/:tenant/ws")
    assert not resource.raw_match("/vars/acme/ws")
    assert route.name is None


async def test_the_endpoint_closes_with_the_application() -> None:
    """When the application shuts down its sockets do."""
    endpoint = Endpoint()
    endpoint.socket("/socket", AnySocket)
    app = web.Application()
    mount(app, endpoint)
    app.freeze()

    await app.startup()
    await app.shutdown()

    assert endpoint.is_closing


async def test_a_socket_with_both_transports() -> None:
    """Websocket and long-polling are served next to each other."""
    endpoint = Endpoint()
    endpoint.socket("/socket", AnySocket, longpoll=True)
    app = web.Application()

    mount(app, endpoint)

    assert await captured(app, "/socket/websocket") == {}
    assert await captured(app, "/socket/longpoll") == {}


def test_options_of_no_known_transport() -> None:
    """Options of an unknown transport are an error when mounting."""

    class SmokeSignalOptions(TransportOptions):
        transport = "smoke"

    endpoint = Endpoint()
    options: Any = SmokeSignalOptions(path="/smoke")
    endpoint.socket("/socket", AnySocket, websocket=options)

    with pytest.raises(ConfigError, match="no transport"):
        mount(web.Application(), endpoint)


async def test_a_socket_without_transports_is_not_served() -> None:
    """A socket whose transports are all off is not served."""
    endpoint = Endpoint()
    endpoint.socket("/socket", AnySocket, websocket=False)
    app: Any = web.Application()

    mount(app, endpoint)

    assert await captured(app, "/socket/websocket") is None
