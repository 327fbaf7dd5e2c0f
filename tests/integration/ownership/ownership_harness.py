"""Servers with several owners: a header, or a parameter of the socket, says who the client is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from phoenix_compat import Endpoint, Socket, mount
from phoenix_compat.presence import Presence
from phoenix_compat.result import Result, ok
from phoenix_compat.server import main
from phoenix_compat.server.auth.principal import Principal, Scope
from phoenix_compat.server.auth.visibility import Visibility
from phoenix_compat.server.channel import task_channel
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.http import api
from phoenix_compat.server.process.settings.rates import RateSettings
from phoenix_compat.server.rates.rate_limiter import RateLimiter
from phoenix_compat.socket import SocketHandler
from phoenix_compat.tasks.model.task import Task
from tests.integration.api.api_harness import Client
from tests.integration.worker.fake_provider import FakeClock, FakeProvider, ref, succeeded
from tests.integration.worker.worker_harness import WorkerHarness, open_worker_harness, task_params
from tests.wire import PhoenixWire

CLIENT: Final = frozenset({Scope.CREATE, Scope.READ, Scope.CANCEL})
ADA, BOB = "ada@example.com", "key:bob"
SECRET_PROMPT: Final = "a prompt that only its owner may read"
MISSING_ID: Final = "01890000-0000-7000-8000-000000000000"


def principal(owner: str, scopes: str | None = None) -> Principal:
    """An owner with these scopes, separated by commas; None for those of an app."""
    given = CLIENT if scopes is None else frozenset(map(Scope, filter(None, scopes.split(","))))
    return Principal(owner=owner, scopes=given)


def as_owner(owner: str, scopes: str | None = None) -> dict[str, str]:
    """The headers of a request that this owner sends."""
    return {"X-Test-Owner": owner} | ({} if scopes is None else {"X-Test-Scopes": scopes})


async def by_header(request: web.Request) -> Principal:
    """Authenticate the sender of a request by its headers."""
    return principal(request.headers["X-Test-Owner"], request.headers.get("X-Test-Scopes"))


def user_socket_by_param(*args: Any, **kwargs: Any) -> type[SocketHandler]:
    """The socket class of the task server, with principals by the parameters of the socket."""

    class UserSocket(_user_socket(*args, **kwargs)):  # type: ignore[misc] # a class from a function
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            del connect_info
            socket.assign(user=params.get("user", "anonymous"))
            socket.assign(principal=principal(params["owner"], params.get("scopes")), address=None)
            return ok()

    return UserSocket


_user_socket: Final[Callable[..., type[SocketHandler]]] = task_channel.user_socket
_add_task_routes: Final = api.add_task_routes


def add_task_routes_by_header(*args: Any, **kwargs: Any) -> None:
    """The API of the task server, with principals by header."""
    _add_task_routes(*args, **(kwargs | {"authenticate": by_header}))


def with_several_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next `open_app` find out by header and parameter who a client is."""
    monkeypatch.setattr(main, "add_task_routes", add_task_routes_by_header)
    monkeypatch.setattr(main, "user_socket", user_socket_by_param)


class Owners:
    """A server in a test, without a running worker.

    Attributes:
        http: sends requests; see `as_owner`.
        harness: the store and the worker.
        feed: the feed of the channels.
        url: the base URL.
    """

    def __init__(self, http: Client, harness: WorkerHarness, feed: TaskFeed) -> None:
        self.http = http
        self.harness = harness
        self.feed = feed
        self.url = str(http.make_url("")).rstrip("/")
        self._wires: list[PhoenixWire] = []

    async def add(self, owner: str, **inputs: object) -> Task:
        """Add a task of an owner."""
        return await self.harness.store.add(task_params(**inputs), owner=owner)

    async def connect(self, owner: str, scopes: str | None = None, **params: str) -> PhoenixWire:
        """Open a socket of an owner; it is closed with the server."""
        wire = await open_socket(self.url, owner, scopes, **params)
        self._wires.append(wire)
        return wire

    async def close(self) -> None:
        """Close the sockets."""
        for wire in self._wires:
            await wire.close()


async def open_socket(
    url: str, owner: str, scopes: str | None = None, **params: str
) -> PhoenixWire:
    """Open a socket of an owner."""
    params |= {"owner": owner} | ({} if scopes is None else {"scopes": scopes})
    query = "".join(f"&{name}={value}" for name, value in params.items())
    return await PhoenixWire.open(url, f"/socket/websocket?vsn=2.0.0{query}")


@asynccontextmanager
async def open_owners(
    path: Path, visibility: Visibility = "owner", *, show_watchers: bool = False
) -> AsyncIterator[Owners]:
    """A server with API and channels whose clients say who they are."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, FakeClock(), is_started=False) as harness:
        endpoint = Endpoint()
        feed = TaskFeed(harness.store, endpoint)
        presence = Presence(endpoint) if show_watchers else None
        handler = user_socket_by_param(
            feed,
            harness.worker,
            RateLimiter(RateSettings()),
            presence=presence,
            visibility=visibility,
        )
        endpoint.socket("/socket", handler)
        app = web.Application()
        add_task_routes_by_header(
            app, harness.store, harness.worker, announce=feed.announce, visibility=visibility
        )
        mount(app, endpoint)
        async with TestClient(TestServer(app)) as http:
            owners = Owners(http, harness, feed)
            try:
                yield owners
            finally:
                await owners.close()


async def stored_rows(harness: WorkerHarness) -> str:
    """Everything that is stored, as a text."""
    rows = []
    for table in ("tasks", "events", "predictions", "idempotency_keys"):
        found = await harness.store._database.read(f"SELECT * FROM {table} ORDER BY 1, 2")  # noqa: S608 - our own names
        rows += [list(row) for row in found]
    return json.dumps(rows)
