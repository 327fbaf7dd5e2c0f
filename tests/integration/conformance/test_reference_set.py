"""The reference channel set answers odd requests and payloads as the file for Phoenix does.

Each answer was seen with that file on Phoenix 1.8.12.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.reference_asgi import build_reference_asgi_app
from tests.asgi_serving import serving_uvicorn
from tests.conftest import Open
from tests.serving import serving
from tests.wire import CRASHED


@pytest.fixture(params=["aiohttp", "uvicorn"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The base URL of the set under each kind of server."""
    if request.param == "aiohttp":
        async with serving(build_reference_app()) as base_url:
            yield base_url
    else:
        async with serving_uvicorn(build_reference_asgi_app()) as base_url:
            yield base_url


async def test_paths_and_methods_of_broadcasts(url: str, open_wire: Open) -> None:
    """Empty segments are ignored; other methods and paths are answered with 404."""
    wire = await open_wire(url)
    await wire.join("room:a")

    async def status(method: str, path: str) -> int:
        async with session.request(method, url + path, json={"a": 1}) as response:
            return response.status

    async with aiohttp.ClientSession() as session:
        assert await status("POST", "//broadcast//room:a/msg/?n=2") == 204
        assert await status("POST", "/broadcast/room:a/msg?n=-1") == 400
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
            assert await status(method, "/broadcast/room:a/msg") == 404
        for path in (
            "/broadcast",
            "/broadcast/room:a",
            "/broadcast/room:a/msg/x",
            "/Broadcast/a/b",
        ):
            assert await status("POST", path) == 404

    assert await wire.recv_many(2) == [[None, None, "room:a", "msg", {"a": 1}]] * 2
    await wire.fence()


@pytest.mark.parametrize(
    "listed", [None, 5, "abc", {}, [256], [-1], [1.0], ["a"], [[1]], [True], [None], [10**20]]
)
async def test_bytes_must_be_a_list_of_bytes(
    reference_url: str, open_wire: Open, listed: Any
) -> None:
    """Anything else in `bytes` crashes the channel."""
    wire = await open_wire(reference_url)
    await wire.join("room:a", "1")

    await wire.send(["1", "2", "room:a", "reply_binary", {"bytes": listed}])

    assert await wire.recv() == ["1", "1", "room:a", "phx_error", CRASHED]


@pytest.mark.parametrize(
    ("query", "payload", "key"),
    [
        ("", {"user": "u"}, "u"),
        ("", {"user": ""}, ""),
        ("", {"user": 0}, "0"),
        ("", {"user": 1.5}, "anonymous"),
        ("", {"user": True}, "anonymous"),
        ("", {"user": ["u"]}, "anonymous"),
        ("", [], "anonymous"),
        ("&user=", {"user": "u"}, ""),
        ("&user=v", {"user": "u"}, "v"),
        ("&user[]=v", {"user": "u"}, "u"),
        ("&user[a]=v", {}, "anonymous"),
    ],
)
async def test_who_is_present(
    reference_url: str, open_wire: Open, query: str, payload: Any, key: str
) -> None:
    """The socket's user if it is a string, else that of the payload, else anonymous."""
    wire = await open_wire(reference_url, f"/socket/websocket?vsn=2.0.0{query}")
    await wire.send(["1", "1", "presence:a", "phx_join", payload])

    received = {event: content for _, _, _, event, content in await wire.recv_many(3)}

    assert list(received["presence_state"]) == [key]
    assert list(received["presence_diff"]["joins"]) == [key]


@pytest.mark.parametrize("payload", [None, 5, "x", [], [1], True])
async def test_an_update_needs_an_object(reference_url: str, open_wire: Open, payload: Any) -> None:
    """Anything else crashes the channel, and no other one."""
    wire, other = await open_wire(reference_url), await open_wire(reference_url)
    for client in (wire, other):
        await client.send(["1", "1", "presence:a", "phx_join", {}])
        await client.recv_many(3)
    await wire.recv()

    await wire.send(["1", "2", "presence:a", "update", payload])

    assert await wire.recv() == ["1", "1", "presence:a", "phx_error", CRASHED]
    [_, _, _, event, diff] = await other.recv()
    assert (event, list(diff["leaves"])) == ("presence_diff", ["anonymous"])
    await other.fence()
