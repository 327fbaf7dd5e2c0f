"""Servers with several owners, who prove who they are with the credentials of `credentials`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from phoenix_compat import Endpoint, WebSocketOptions, mount
from phoenix_compat.presence import Presence
from phoenix_compat.server.auth.authenticator import OPEN
from phoenix_compat.server.auth.visibility import Visibility
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.channel.socket_authentication import SocketAuthentication
from phoenix_compat.server.channel.task_channel import user_socket
from phoenix_compat.server.http.authentication import authenticating_requests
from phoenix_compat.server.http.tasks.api import add_task_routes
from phoenix_compat.server.process.settings.rates import RateSettings
from phoenix_compat.server.rates.rate_limiter import RateLimiter
from phoenix_compat.tasks.model.task import Task
from tests.integration.api.api_harness import Client
from tests.integration.ownership.credentials import Sender, authenticator, sender
from tests.integration.worker.fake_provider import FakeClock, FakeProvider, ref, succeeded
from tests.integration.worker.worker_harness import WorkerHarness, open_worker_harness, task_params
from tests.wire import PhoenixWire

ADA, BOB = "ada@example.com", "key:bob"
SECRET_PROMPT: Final = "a prompt that only its owner may read"
MISSING_ID: Final = "01890000-0000-7000-8000-000000000000"


def as_owner(owner: str, scopes: str | None = None) -> dict[str, str]:
    """The headers of a request that this owner sends; see `sender`."""
    return sender(owner, scopes).headers


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
        """Open a socket of an owner, or of nobody; it is closed with the server."""
        wire = await open_socket(self.url, sender(owner, scopes) if owner else None, **params)
        self._wires.append(wire)
        return wire

    async def close(self) -> None:
        """Close the sockets."""
        for wire in self._wires:
            await wire.close()


async def open_socket(url: str, client: Sender | None, **params: str) -> PhoenixWire:
    """Open a socket; None has no credential."""
    given = params if client is None else {"token": client.credential, **params}
    headers = {} if client is None else client.owner_header
    target = f"/socket/websocket?{urlencode({'vsn': '2.0.0', **given})}"
    return await PhoenixWire.open(url, target, list(headers.items()))


@asynccontextmanager
async def open_owners(
    path: Path,
    visibility: Visibility = "owner",
    *,
    show_watchers: bool = False,
    has_auth: bool = True,
) -> AsyncIterator[Owners]:
    """A server with API and channels whose clients prove who they are."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, FakeClock(), is_started=False) as harness:
        endpoint = Endpoint()
        feed = TaskFeed(harness.store, endpoint)
        presence = Presence(endpoint) if show_watchers else None
        accepted = authenticator() if has_auth else OPEN
        door = SocketAuthentication(accepted)
        handler = user_socket(
            feed,
            harness.worker,
            RateLimiter(RateSettings()),
            presence=presence,
            visibility=visibility,
            authentication=door,
        )
        endpoint.socket("/socket", handler, websocket=WebSocketOptions(headers=door.header_names))
        app = web.Application()
        add_task_routes(
            app,
            harness.store,
            harness.worker,
            announce=feed.announce,
            visibility=visibility,
            authenticate=authenticating_requests(accepted),
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
