"""A server with authentication, and its four doors: HTTP, websocket, long-polling and joins."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlencode

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.conformance.suite.wire_client import HttpResponse
from phoenix_compat.server import main
from phoenix_compat.server.auth.keys.api_keys import ApiKey
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.process.listening import listening
from phoenix_compat.server.topology import Alone
from phoenix_compat.token import Tokens
from tests.integration.task_server import settings_for
from tests.unit.protocol.token.token_vectors import SECRET as SECRET_KEY_BASE
from tests.unit.server.auth.jwt_builder import AUDIENCE, ISSUER, SECRET, token
from tests.unit.server.auth.memory_keys import MemoryKeys
from tests.wire import PatientClient, PhoenixWire

Headers = Sequence[tuple[str, str]]

KEY: Final = "pck_app"
READER: Final = "pck_reader"
BACKEND: Final = "pck_backend"
MONK: Final = json.dumps({"input_data": {"type": "image", "prompt": "Medieval monk"}}).encode()
JSON_TYPE: Final = ("Content-Type", "application/json")

TASK_SCOPES: Final = frozenset({Scope.CREATE, Scope.READ, Scope.CANCEL})


def some_keys() -> MemoryKeys:
    """A key for an app, one that may only read, and one of a backend."""
    return MemoryKeys(
        {
            KEY: ApiKey(name="app", scopes=TASK_SCOPES),
            READER: ApiKey(name="reader", scopes=frozenset({Scope.READ})),
            BACKEND: ApiKey(name="backend", scopes=TASK_SCOPES | {Scope.IMPERSONATE}),
        }
    )


@asynccontextmanager
async def server(folder: Path, keys: MemoryKeys | None = None, **fields: Any) -> AsyncIterator[str]:
    """Run a server that takes keys, JWTs with HS256 and Phoenix.Tokens; yields its URL."""
    base = folder / "secret_key_base"
    base.write_text(SECRET_KEY_BASE)
    given: dict[str, Any] = {
        "auth": ("keys", "jwt", "phoenix_token"),
        "jwt_algorithms": ("HS256",),
        "jwt_secret": SECRET.decode(),
        "jwt_audience": (AUDIENCE,),
        "jwt_issuer": ISSUER,
        "phoenix_token_secret_key_base_file": base,
        **fields,
    }
    settings = settings_for(folder / "data", **given)
    with patch.object(Alone, "keys", lambda *_: keys or some_keys()):
        async with main.open_app(settings) as app, listening(app, "127.0.0.1", 0) as url:
            yield url


def phoenix_token(data: Any = "user-17", salt: str = "user socket") -> str:
    """A token of the old backend."""
    return Tokens(SECRET_KEY_BASE).sign(salt, data)


GOOD: Final = {"key": lambda: KEY, "jwt": token, "phoenix_token": phoenix_token}
"""A good credential of each kind."""


def bearer(credential: str) -> tuple[str, str]:
    """The header with a credential."""
    return "Authorization", f"Bearer {credential}"


async def create(url: str, *headers: tuple[str, str]) -> HttpResponse:
    """POST a task."""
    return await exchange(url, "POST", "/api/tasks", [JSON_TYPE, *headers], MONK)


async def created_task(url: str, *headers: tuple[str, str]) -> str:
    """POST a task; returns its id."""
    answer = await create(url, *headers)
    assert answer.status == 202, answer
    return str(json.loads(answer.body)["task_id"])


def target(transport: str = "websocket", vsn: str = "2.0.0", **params: str) -> str:
    """The path of a socket with its params."""
    return f"/socket/{transport}?{urlencode({'vsn': vsn, **params})}"


async def handshake(url: str, path: str, *headers: tuple[str, str]) -> int:
    """The status of a websocket's handshake."""
    client = await PatientClient.connect(url)
    try:
        return (await client.handshake(path, extra=headers)).status
    finally:
        await client.close()


async def long_poll(url: str, path: str, *headers: tuple[str, str]) -> dict[str, Any]:
    """The answer to a GET of long-polling; 410 opens a session."""
    return dict(json.loads((await exchange(url, "GET", path, headers)).body))


async def join(wire: PhoenixWire, task_id: str, ref: str = "1", **payload: Any) -> Any:
    """Join a task over V2; returns the payload of the reply."""
    await wire.send([ref, ref, f"task:{task_id}", "phx_join", payload])
    while True:
        message = await wire.recv()
        if message[3] == "phx_reply" and message[1] == ref:
            return message[4]


def subprotocols(credential: str) -> tuple[str, str]:
    """The header in which phoenix.js sends `authToken`."""
    encoded = base64.b64encode(credential.encode()).decode().rstrip("=")
    return "Sec-WebSocket-Protocol", f"phoenix, base64url.bearer.phx.{encoded}"
