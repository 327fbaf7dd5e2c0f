"""The app that the fault server asks for, with this package's client: see its README.md.

The timers are the defaults, except for those of 10 s and more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from phoenix_compat.client import Client, ClientChannel, ClientError, Presence, PushTimeoutError
from phoenix_compat.conformance.faults.scenarios import SCENARIOS, Scenario

HEARTBEAT_INTERVAL_S = 0.7
TIMEOUT_S = 1.5


@asynccontextmanager
async def playing(
    base_url: str, name: str, scenarios: Sequence[Scenario] = SCENARIOS, **options: Any
) -> AsyncIterator[list[Client]]:
    """Play scenarios, all at once, until the context ends; yields their clients."""
    async with AsyncExitStack() as stack:
        clients = []
        for scenario in scenarios:
            url = f"{base_url}/faults/{name}/{scenario.session}/socket"
            client = Client(
                url, heartbeat_interval_s=HEARTBEAT_INTERVAL_S, timeout_s=TIMEOUT_S, **options
            )
            clients.append(await stack.enter_async_context(client))
            app = asyncio.create_task(play(client, scenario.topic))
            stack.push_async_callback(_end, app)
        yield clients


async def play(client: Client, topic: str) -> None:
    """What the fault server asks an app to do."""
    channel = client.channel(topic)
    presence = Presence(channel)
    joins: asyncio.Queue[Any] = asyncio.Queue()
    channel.on_join(joins.put_nowait)

    def report_presence() -> None:
        sizes = {key: len(entry["metas"]) for key, entry in presence.list()}
        channel.push_nowait("heard", {"present": sizes})

    def ask(payload: Any) -> None:
        heard = {"bytes": len(payload)} if isinstance(payload, bytes) else payload
        channel.push_nowait("heard", heard)

    def lost(_code: int, _reason: str) -> None:
        remove()
        channel.push_nowait("buffered", {})

    presence.on_sync(report_presence)
    channel.on("ask", ask)
    remove = client.on_close(lost)
    async with asyncio.TaskGroup() as group:
        group.create_task(_join(channel))
        while True:
            await joins.get()
            group.create_task(_echo(channel))


async def _join(channel: ClientChannel) -> None:
    """Join; if that is refused, the channel goes on by itself."""
    try:
        await channel.join()
    except ClientError:
        return


async def _echo(channel: ClientChannel) -> None:
    try:
        reply = await channel.push("echo", {"some": "payload"})
    except PushTimeoutError:
        channel.push_nowait("heard", {"timeout": True})
    except ClientError:
        return
    else:
        channel.push_nowait("heard", {"reply": reply})


async def _end(app: asyncio.Task[None]) -> None:
    app.cancel()
    await asyncio.wait([app])
    if not app.cancelled() and (error := app.exception()) is not None:
        raise error
