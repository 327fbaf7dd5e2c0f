"""The whole server in one process, and clients of its console."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.engine import schema_sql
from phoenix_compat.server.inspection.operator_tools import OperatorTools
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import BACKGROUND, listening
from phoenix_compat.tasks.store.opening import open_task_store
from tests.integration.ownership.credentials import key_of
from tests.integration.task_server import Client, settings_for
from tests.wire import PhoenixWire

_SCHEMA: Final = schema_sql()
OPERATOR: Final = key_of("operator", frozenset({Scope.OPERATE}))
READER: Final = key_of("reader")
"""A key of an app, which may not operate the server."""


@asynccontextmanager
async def console_of(folder: Path, **settings: Any) -> AsyncIterator[Console]:
    """A server, with the keys of an operator and of an app if it has authentication."""
    async with console_at(0, folder, **settings) as console:
        yield console


@asynccontextmanager
async def console_at(
    port: int, folder: Path, *, tools: OperatorTools | None = None, **settings: Any
) -> AsyncIterator[Console]:
    """The same at this port; 0 chooses a free one.

    Args:
        tools: the commands that the console may call.
    """
    given = settings_for(folder, **settings)
    if given.has_auth:
        async with await open_task_store(given.database_path, _SCHEMA) as store:
            keys = KeyStore(store)
            await keys.start()
            await keys.create("operator", frozenset({Scope.OPERATE}), OPERATOR)
            await keys.create("reader", frozenset({Scope.READ, Scope.CREATE}), READER)
            await keys.stop()
    async with (
        open_app(given, tools=tools) as app,
        listening(app, "127.0.0.1", port) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Console(app, Client(url, http), http)


class Console:
    """A server's console, as a browser uses it.

    Attributes:
        app: the server.
        client: creates tasks as an app does.
    """

    def __init__(self, app: web.Application, client: Client, http: aiohttp.ClientSession) -> None:
        self.app = app
        self.client = client
        self.url = client.url
        self._http = http

    def app_background(self) -> dict[str, dict[str, object]]:
        """The reports of the background tasks, by name."""
        return self.app[BACKGROUND].report

    async def get(
        self, path: str, key: str | None = None, **headers: str
    ) -> tuple[int, str, Mapping[str, str]]:
        """The status, text and headers of a GET."""
        given = headers if key is None else {"Authorization": f"Bearer {key}", **headers}
        async with self._http.get(self.url + path, headers=given) as answer:
            return answer.status, await answer.text(errors="replace"), answer.headers

    async def ask(
        self, method: str, path: str, key: str | None = None, **more: Any
    ) -> tuple[int, Any]:
        """The status and JSON of a request."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with self._http.request(method, self.url + path, headers=headers, **more) as answer:
            return answer.status, await answer.json(content_type=None)

    async def connect(self, key: str | None = None, **headers: str) -> PhoenixWire:
        """Open the console's socket."""
        given = {"vsn": "2.0.0"} if key is None else {"vsn": "2.0.0", "token": key}
        target = f"/console/socket/websocket?{urlencode(given)}"
        return await PhoenixWire.open(self.url, target, list(headers.items()))
