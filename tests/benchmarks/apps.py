"""Servers to compare with: `python -m tests.benchmarks.apps NAME PORT [FOLDER]`.

    tasks         the handlers of /api/tasks on a store in FOLDER, without a worker
    no_store      the same handlers on a store that stores nothing
    product       the task server with 200 concurrent tasks and an emulator without rate limits
    fast_product  the same with models that take almost no time, and with frequent polls
    watched       the same as product, with a log, an echo at /echo, and topics "room:*" for all
    bare          aiohttp, which answers every POST and GET with a constant

They listen and collect garbage in the same way as the task server.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.server.http.tasks.api import add_task_routes
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import run, serve_until_signal
from phoenix_compat.server.process.logs import configure_logs
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.model.task import Task, TaskId
from phoenix_compat.tasks.model.task_types import TaskParams
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.rows import added_task
from phoenix_compat.tasks.store.task_store import MAX_QUEUED, TaskStore
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from phoenix_compat.tasks.worker.worker import Worker
from tests.integration.worker.fake_provider import FakeProvider
from tests.integration.worker.worker_harness import SCHEMA

_NO_LIMIT = 1_000_000
_UNLIMITED = WorkerOptions(
    concurrency=200,
    creates_per_s=_NO_LIMIT,
    create_burst=_NO_LIMIT,
    polls_per_s=_NO_LIMIT,
)
ECHO_PATH = "/echo"
FAST = dataclasses.replace(_UNLIMITED, poll=PollIntervals(first_s=0.05, limit_s=1.0))


class _NoStore(TaskStore):
    """Accepts every task and stores none."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    async def add(
        self,
        params: TaskParams,
        *,
        owner: str = "",
        traceparent: str | None = None,
        max_queued: int = MAX_QUEUED,
    ) -> Task:
        """The task that a real store would return."""
        number = next(self._numbers)
        return added_task(params, TaskId(str(uuid.uuid4())), number, datetime.now(UTC), owner)


def _api(store: TaskStore) -> web.Application:
    app = web.Application()
    add_task_routes(app, store, Worker(store, FakeProvider(), lambda _task: None))
    return app


@asynccontextmanager
async def _tasks(folder: Path) -> AsyncIterator[web.Application]:
    async with await open_task_store(folder / "tasks.db", SCHEMA) as store:
        yield _api(store)


@asynccontextmanager
async def _no_store(_folder: Path) -> AsyncIterator[web.Application]:
    yield _api(_NoStore())


@asynccontextmanager
async def _product(
    folder: Path, speed: float, options: WorkerOptions, **more: Any
) -> AsyncIterator[web.Application]:
    emulated = EmulatorSettings(
        speed=speed, creates_per_minute=_NO_LIMIT, requests_per_minute=_NO_LIMIT
    )
    async with Emulator(emulated) as emulator:
        settings = Settings(
            data_dir=folder,
            replicate_api_token=SecretStr("r8_benchmark"),
            replicate_base_url=emulator.base_url,
            file_hosts=(emulator.origin,),
            **more,
        )
        async with open_app(settings, options) as app:
            yield app


@asynccontextmanager
async def _watched(folder: Path) -> AsyncIterator[web.Application]:
    configure_logs("info", "console")
    async with _product(
        folder,
        speed=1.0,
        options=_UNLIMITED,
        concurrency=100,
        listen_topics=("room:*",),
        channels_module="tests.benchmarks.echo_sockets:EchoSocket",
        channels_path=ECHO_PATH,
        address_creates_per_minute=0,
    ) as app:
        yield app


@asynccontextmanager
async def _bare(_folder: Path) -> AsyncIterator[web.Application]:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"status": 200})

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    app.router.add_get("/{path:.*}", answer)
    yield app


APPS: Mapping[str, Callable[[Path], AbstractAsyncContextManager[web.Application]]] = {
    "tasks": _tasks,
    "no_store": _no_store,
    "product": partial(_product, speed=1.0, options=_UNLIMITED),
    "fast_product": partial(_product, speed=1_000.0, options=FAST),
    "watched": _watched,
    "bare": _bare,
}


def main() -> None:
    """Serve until a signal."""
    name, port, *folder = sys.argv[1:]
    opened = APPS[name](Path(*folder))
    run(serve_until_signal(opened, "127.0.0.1", int(port), lambda _url: None))


if __name__ == "__main__":
    main()
