"""Two large bodies are read at a time; others wait, or are refused."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from phoenix_compat.server.http.problem import answering_problems
from phoenix_compat.server.http.uploads.large_bodies import (
    MAX_AT_ONCE,
    MAX_WAITING,
    LargeBodies,
)
from tests.patience import patient
from tests.serving import serving

SMALL, LARGE = b"data:" + bytes(90), b"data:" + bytes(5_000)


async def _nothing(_request: web.Request) -> None:
    pass


@asynccontextmanager
async def reader(bodies: LargeBodies, release: asyncio.Event) -> AsyncIterator[Any]:
    """A server that holds each body until it may go on; yields what sends one."""

    async def hold(request: web.Request) -> web.Response:
        async with bodies.reading(request) as body:
            if len(body) > bodies.small_bytes:
                await release.wait()
        return web.Response(text=str(len(body)))

    app = web.Application(middlewares=[answering_problems(_nothing)])
    app.router.add_post("/api/x", hold)
    async with serving(app) as url, aiohttp.ClientSession() as http:

        async def send(body: bytes) -> tuple[int, str | None]:
            async with http.post(f"{url}/api/x", data=io.BytesIO(body)) as answer:
                return answer.status, answer.headers.get("Retry-After")

        yield send


async def until(bodies: LargeBodies, **counts: int) -> None:
    """Wait until these counts are reached."""
    async with asyncio.timeout(patient(10.0)):
        while any(bodies.counts[name] < count for name, count in counts.items()):  # noqa: ASYNC110 - a count sets no event
            await asyncio.sleep(0.01)


async def test_two_are_read_and_the_others_wait() -> None:
    """Small bodies do not wait; each large one that waited is read later."""
    bodies, release = LargeBodies(100, 10_000, max_wait_s=patient(20.0)), asyncio.Event()
    async with reader(bodies, release) as send:
        large = [asyncio.ensure_future(send(LARGE)) for _ in range(5)]
        await until(bodies, read=MAX_AT_ONCE, waited=3)
        small = await send(SMALL)
        read_before = bodies.counts["read"]

        release.set()
        answers = await asyncio.gather(*large)

    assert small == (200, None)
    assert read_before == MAX_AT_ONCE
    assert [status for status, _ in answers] == [200] * 5


async def test_those_that_wait_too_long_are_refused() -> None:
    """503 with Retry-After, and their places are free again."""
    bodies, release = LargeBodies(100, 10_000, max_wait_s=0.05), asyncio.Event()
    async with reader(bodies, release) as send:
        held = [asyncio.ensure_future(send(LARGE)) for _ in range(MAX_AT_ONCE)]
        await until(bodies, read=MAX_AT_ONCE)

        late = await asyncio.gather(*(send(LARGE) for _ in range(3)))
        release.set()
        answers = await asyncio.gather(*held)
        after = await send(LARGE)

    assert late == [(503, "2")] * 3
    assert [status for status, _ in (*answers, after)] == [200] * 3
    assert bodies.counts["refused"] == 3


async def test_only_so_many_wait() -> None:
    """The one after them is refused at once."""
    bodies, release = LargeBodies(100, 10_000, max_wait_s=patient(20.0)), asyncio.Event()
    async with reader(bodies, release) as send:
        held = [asyncio.ensure_future(send(LARGE)) for _ in range(MAX_AT_ONCE + MAX_WAITING)]
        await until(bodies, read=MAX_AT_ONCE, waited=MAX_WAITING)

        refused = await send(LARGE)
        release.set()
        answers = await asyncio.gather(*held)

    assert refused[0] == 503
    assert Counter(status for status, _ in answers) == {200: MAX_AT_ONCE + MAX_WAITING}


async def test_what_has_no_file_or_is_too_long_is_refused() -> None:
    """413, before or after it was read; the places are free again."""
    bodies, release = LargeBodies(100, 10_000), asyncio.Event()
    release.set()
    async with reader(bodies, release) as send:
        answers = [await send(body) for body in (bytes(5_000), LARGE * 3, LARGE, SMALL)]

    assert [status for status, _ in answers] == [413, 413, 200, 200]
