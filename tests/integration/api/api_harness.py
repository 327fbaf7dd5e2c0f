"""The API on a test server, over a store whose worker is not started."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from phoenix_compat.server.http.tasks.api import add_task_routes
from tests.integration.worker.fake_provider import FakeClock, FakeProvider, ref, succeeded
from tests.integration.worker.worker_harness import WorkerHarness, open_worker_harness

MONK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
Client: TypeAlias = "TestClient[web.Request, web.Application]"


@asynccontextmanager
async def open_api(path: Path) -> AsyncIterator[tuple[Client, WorkerHarness]]:
    """A client of the API, and the harness behind it, whose worker is not started."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, FakeClock(), is_started=False) as harness:
        app = web.Application()
        add_task_routes(
            app,
            harness.store,
            harness.worker,
            max_body_bytes=20_000,
            announce=harness.announced.append,
        )
        app.router.add_get("/elsewhere", _not_found)
        app.router.add_get("/api/crash", _crash)
        app.router.add_get("/api/moved", _moved)
        async with TestClient(TestServer(app)) as client:
            yield client, harness


async def problem(response: ClientResponse, status: int) -> dict[str, Any]:
    """The problem document of a response, after the checks that all problems must pass."""
    assert response.status == status
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = await response.json(content_type=None)
    assert document["status"] == status
    assert {"type", "title", "detail"} <= set(document)
    assert document["type"].startswith("urn:phoenix-compat:problem:")
    return document


async def _not_found(_request: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def _moved(_request: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


async def _crash(_request: web.Request) -> web.Response:
    raise RuntimeError("at /home/someone/secret.py")
