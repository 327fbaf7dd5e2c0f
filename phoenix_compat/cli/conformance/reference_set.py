"""Checks that a server hosts the reference channel set, and hosts it in this process."""

# ruff: noqa: PLC0415 - see phoenix_compat.cli

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from phoenix_compat.cli.errors import CommandError

_TIMEOUT_S: Final = 10.0
_TOPIC: Final = "room:phoenix-compat-check"
_REMEDY: Final = (
    "this command needs servers that host the reference channel set (docs/conformance.md), as "
    "`phoenix-compat conformance serve` does"
)


async def check_reference_set(url: str, mount: str) -> None:
    """Connect to a socket of the set, and join a topic.

    Args:
        url: the base URL of the server.
        mount: the path of the socket, such as `/socket`.

    Raises:
        CommandError: no server answers, or it does not host the set.
    """
    from phoenix_compat.operations.reason import reason_of

    try:
        problem = await _problem(url, mount)
    except (OSError, EOFError, ValueError) as error:
        problem = (
            f"no Phoenix server answers at {url}: {reason_of(error)}; check the URL, or start the "
            "server"
        )
    if problem is not None:
        raise CommandError(problem)


async def _problem(url: str, mount: str) -> str | None:
    """What is wrong with a server that answers; None if nothing is."""
    import asyncio
    from urllib.parse import urlsplit

    from phoenix_compat.conformance.suite.wire_client import WireClient

    async with asyncio.timeout(_TIMEOUT_S):
        client = await WireClient.connect(url)
    try:
        path = f"{urlsplit(url).path.rstrip('/')}{mount}/websocket"
        response = await client.handshake(f"{path}?vsn=2.0.0", timeout_s=_TIMEOUT_S)
        if response.status != 101:
            return f"{url} answers {response.status} at {path}: {_REMEDY}"
        reply = await _reply_to_join(client)
    finally:
        await client.close()
    if reply != {"status": "ok", "response": {"joined": _TOPIC}}:
        return f"{url} does not answer a join of room:* as the set does: {_REMEDY}"
    return None


async def _reply_to_join(client: Any) -> Any:
    """The payload of the reply; None if it sends something else first."""
    import json

    from phoenix_compat.conformance.suite.cases import compact_json

    await client.send_frame(compact_json(["1", "1", _TOPIC, "phx_join", {}]))
    frame = await client.read_frame(_TIMEOUT_S)
    if frame is None:
        return None
    message = json.loads(frame.payload)
    match message:
        case ["1", "1", str() as topic, "phx_reply", payload] if topic == _TOPIC:
            return payload
        case _:
            return None


@asynccontextmanager
async def own_reference_set() -> AsyncIterator[str]:
    """Host the set in this process, on a free port of this machine; yields its URL."""
    from phoenix_compat.conformance.reference import open_reference_app
    from phoenix_compat.server.process.listening import listening

    async with open_reference_app() as app, listening(app, "127.0.0.1", 0) as url:
        yield url
