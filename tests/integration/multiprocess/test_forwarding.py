"""Requests about tasks are forwarded to the leader, and repeated only if that is safe."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.cluster.unix import UnixBus
from phoenix_compat.cluster.unix.receiver import bound_unix_socket
from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.server.http.tasks.api import MAX_BODY_BYTES
from phoenix_compat.server.http.uploads.spooled_bodies import SpooledBodies
from phoenix_compat.server.multiprocess import forwarding
from phoenix_compat.server.multiprocess.leader import ROLE, Leader
from phoenix_compat.transports.aiohttp.peers import Peers
from tests.serving import serving


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="fw-") as name:
        yield Path(name)


class DyingLeader:
    """The leading process, which dies while it handles the first requests.

    Attributes:
        received: the requests that it read.
    """

    def __init__(self, deaths: int) -> None:
        self.received: list[str] = []
        self._deaths = deaths

    async def answer(self, request: web.Request) -> web.Response:
        """Read a request, and die or return its body."""
        self.received.append(f"{request.method} {request.path}")
        body = await request.text()
        if len(self.received) <= self._deaths:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"body": body})


@asynccontextmanager
async def leader_process(folder: Path, deaths: int) -> AsyncIterator[DyingLeader]:
    """Run process 1, which is the leader according to the bus."""
    leader = DyingLeader(deaths)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", leader.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        listener = await asyncio.to_thread(bound_unix_socket, folder / "1.http")
        await web.SockSite(runner, listener).start()
        yield leader
    finally:
        await runner.cleanup()


@asynccontextmanager
async def front(folder: Path) -> AsyncIterator[str]:
    """Run process 0, which knows that process 1 is the leader; yields its URL."""

    async def begin() -> None:
        raise AssertionError("no process takes over in these tests")

    bus, other = UnixBus(folder, 0, 2), UnixBus(folder, 1, 2)
    leader = Leader(bus, begin)
    app = web.Application()
    async with Peers(0, 2, lambda node: folder / f"{node}.http") as peers, bus, other:
        app.middlewares.append(
            forwarding.forwarding(leader, peers, SpooledBodies(MAX_BODY_BYTES, 400_000, folder))
        )
        other.take_role(ROLE)
        assert await leader.find() == 1
        async with serving(app) as url:
            yield url


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/tasks", {}),
        ("POST", "/api/tasks", {"Idempotency-Key": "k-1"}),
        ("POST", "/webhooks/replicate?task=t&tag=g", {}),
    ],
)
async def test_a_repeatable_request_is_sent_again(
    folder: Path, method: str, path: str, headers: dict[str, str]
) -> None:
    """If the leader dies during a GET, a POST with a key or a webhook, the request is sent again;
    the client does not notice."""
    async with (
        leader_process(folder, deaths=1) as leader,
        front(folder) as url,
        aiohttp.ClientSession() as http,
        http.request(method, url + path, data="body", headers=headers) as answer,
    ):
        echoed = await answer.json()

    assert (answer.status, echoed) == (200, {"body": "body"})
    assert leader.received == [f"{method} {path.partition('?')[0]}"] * 2


async def test_a_long_body_is_sent_again(folder: Path) -> None:
    """From its beginning, as it was sent."""
    body = "photo " * 60_000
    async with (
        leader_process(folder, deaths=1) as leader,
        front(folder) as url,
        aiohttp.ClientSession() as http,
        http.post(
            f"{url}/api/tasks", data=io.BytesIO(body.encode()), headers={"Idempotency-Key": "k-1"}
        ) as answer,
    ):
        echoed = await answer.json()

    assert (answer.status, echoed) == (200, {"body": body})
    assert leader.received == ["POST /api/tasks"] * 2


async def test_a_whole_url_as_target_is_forwarded_too(folder: Path) -> None:
    """Its path and query reach the leader; scheme and host are this server's own business."""
    async with leader_process(folder, deaths=0) as leader, front(folder) as url:
        answer = await exchange(url, "GET", "http://example.com/api/tasks?limit=1")

    assert answer.status == 200
    assert leader.received == ["GET /api/tasks"]


async def test_a_request_that_may_have_been_carried_out_is_not_repeated(folder: Path) -> None:
    """A POST without a key is sent once; the 503 says that its outcome is unknown."""
    async with (
        leader_process(folder, deaths=1) as leader,
        front(folder) as url,
        aiohttp.ClientSession() as http,
        http.post(f"{url}/api/tasks", data="body") as answer,
    ):
        problem = await answer.json(content_type="application/problem+json")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert problem["type"].endswith("unknown-outcome")
    assert "Idempotency-Key" in problem["detail"]
    assert leader.received == ["POST /api/tasks"]


async def test_a_request_waits_for_an_unreachable_leader(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that no process has read can be sent again, so it waits; in the end the 503 says
    that nothing was done."""
    monkeypatch.setattr(forwarding, "FIND_TIMEOUT_S", 0.1)
    async with front(folder) as url, aiohttp.ClientSession() as http:
        async with http.post(f"{url}/api/tasks", data="body") as answer:
            problem = await answer.json(content_type="application/problem+json")

        async with (
            leader_process(folder, deaths=0),
            http.post(f"{url}/api/tasks", data="body") as later,
        ):
            pass

    assert answer.status == 503
    assert problem["type"].endswith("unavailable")
    assert "nothing was done" in problem["detail"]
    assert later.status == 200
