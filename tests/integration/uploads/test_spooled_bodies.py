"""Bodies that are forwarded to another process go to the disk if they are long."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.server.http.problem import answering_problems
from phoenix_compat.server.http.uploads.spooled_bodies import MAX_AT_ONCE, SpooledBodies
from phoenix_compat.tasks.archive.errors import ArchiveFullError
from tests.patience import patient
from tests.serving import serving

SMALL, LARGE = bytes(100), bytes(range(256)) * 2_000


async def _nothing(_request: web.Request) -> None:
    pass


@asynccontextmanager
async def reader(
    bodies: SpooledBodies, release: asyncio.Event
) -> AsyncIterator[Callable[[Any], Any]]:
    """A server that holds each long body until it may go on, and reads it twice."""

    async def hold(request: web.Request) -> web.Response:
        async with bodies.reading(request) as body:
            if body.is_long:
                await release.wait()
            read = [await whole(body.content()) for _ in range(2)]
        assert read[0] == read[1]
        return web.Response(body=read[0])

    app = web.Application(middlewares=[answering_problems(_nothing)], client_max_size=1)
    app.router.add_post("/api/x", hold)
    async with serving(app) as url, aiohttp.ClientSession() as http:

        async def send(body: Any) -> tuple[int, bytes]:
            data = io.BytesIO(body) if isinstance(body, bytes) else body
            async with http.post(f"{url}/api/x", data=data) as answer:
                return answer.status, await answer.read()

        yield send


async def whole(content: bytes | AsyncIterator[bytes] | None) -> bytes:
    """All of a body."""
    if content is None or isinstance(content, bytes):
        return content or b""
    return b"".join([block async for block in content])


async def blocks() -> AsyncIterator[bytes]:
    """A long body without a length."""
    for at in range(0, len(LARGE), 10_000):
        yield LARGE[at : at + 10_000]


async def test_bodies_can_be_read_again(tmp_path: Path) -> None:
    """Short and long ones, with and without a length; no file is left."""
    bodies, release = SpooledBodies(1_000, 1_000_000, tmp_path), asyncio.Event()
    release.set()
    async with reader(bodies, release) as send:
        answers = [await send(body) for body in (SMALL, LARGE, blocks(), b"")]

    assert answers == [(200, SMALL), (200, LARGE), (200, LARGE), (200, b"")]
    assert bodies.counts == {"read": 2}
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_only_so_many_arrive_at_once(tmp_path: Path) -> None:
    """The one after them is refused at once, and its place is free later."""
    bodies, release = SpooledBodies(1_000, 1_000_000, tmp_path), asyncio.Event()
    async with reader(bodies, release) as send:
        held = [asyncio.ensure_future(send(LARGE)) for _ in range(MAX_AT_ONCE)]
        async with asyncio.timeout(patient(20.0)):
            while bodies.counts["read"] < MAX_AT_ONCE:  # noqa: ASYNC110 - a count sets no event
                await asyncio.sleep(0.01)
        refused, _ = await send(LARGE)
        small, _ = await send(SMALL)
        release.set()
        answers = await asyncio.gather(*held)
        after, _ = await send(LARGE)

    assert (refused, small, after) == (503, 200, 200)
    assert {status for status, _ in answers} == {200}


@pytest.mark.parametrize("has_length", [True, False])
async def test_what_is_too_long_is_refused(tmp_path: Path, *, has_length: bool) -> None:
    """413, before or after it was read."""
    bodies, release = SpooledBodies(1_000, 100_000, tmp_path), asyncio.Event()
    async with reader(bodies, release) as send:
        status, text = await send(LARGE if has_length else blocks())

    assert status == 413
    assert b"100000 bytes" in text


@pytest.mark.parametrize("error", [ArchiveFullError("full"), OSError("gone")])
async def test_a_full_disk_is_503(tmp_path: Path, error: Exception) -> None:
    """The reserve of the disk is kept."""

    def check(_more_bytes: int) -> None:
        raise error

    bodies, release = SpooledBodies(1_000, 1_000_000, tmp_path, check), asyncio.Event()
    async with reader(bodies, release) as send:
        status, text = await send(LARGE)

    assert status == 503
    assert b"storage-full" in text
