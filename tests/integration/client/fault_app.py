"""The app that the fault server asks for, with this package's client: see its README.md.

A scenario that suspends the app gets its own thread and event loop, because it stops them.

The timers are the defaults, except for those of 10 s and more.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from phoenix_compat.client import Client, ClientChannel, ClientError, Presence, PushTimeoutError
from phoenix_compat.conformance.faults.app import OUTDATED, Action, action_of
from phoenix_compat.conformance.faults.scenario import Scenario
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from phoenix_compat.conformance.faults.table import FAULTS
from tests.patience import patient

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
            if action_of(FAULTS.from_topic(scenario.topic)) is Action.SUSPEND:
                await stack.enter_async_context(_in_a_thread(url, scenario.topic, options))
                continue
            clients.append(await stack.enter_async_context(_new_client(url, options)))
            app = asyncio.create_task(play(clients[-1], scenario.topic))
            stack.push_async_callback(_end, app)
        yield clients


def _new_client(url: str, options: Any) -> Client:
    tokens = itertools.count(1)
    return Client(
        url,
        params=lambda: {"token": f"t{next(tokens)}"},
        heartbeat_interval_s=HEARTBEAT_INTERVAL_S,
        timeout_s=patient(TIMEOUT_S),
        **options,
    )


@asynccontextmanager
async def _in_a_thread(url: str, topic: str, options: Any) -> AsyncIterator[None]:
    """Play one scenario in another thread until the context ends."""
    loop = asyncio.new_event_loop()
    has_ended = asyncio.Event()

    async def run() -> None:
        async with _new_client(url, options) as client:
            app = asyncio.create_task(play(client, topic))
            await has_ended.wait()
            await _end(app)

    def run_and_close() -> None:
        try:
            loop.run_until_complete(run())
        finally:
            loop.close()  # here, because closing may run it once more

    running = asyncio.create_task(asyncio.to_thread(run_and_close))
    try:
        yield
    finally:
        if not running.done():
            loop.call_soon_threadsafe(has_ended.set)
        await running


async def play(client: Client, topic: str) -> None:
    """What the fault server asks an app to do."""
    async with asyncio.TaskGroup() as group:
        _App(client, topic, group).use_channel()
        await asyncio.Event().wait()  # until it is cancelled


class _App:
    """The app of one scenario."""

    def __init__(self, client: Client, topic: str, group: asyncio.TaskGroup) -> None:
        self._client = client
        self._topic = topic
        self._group = group
        self._when_lost: list[Callable[[], object]] = []
        client.on_close(self._lost)

    def use_channel(self) -> None:
        """Join the topic, and do on it what an app does."""
        channel = self._client.channel(self._topic)
        presence = Presence(channel)

        def report_presence() -> None:
            sizes = {key: len(entry["metas"]) for key, entry in presence.list()}
            channel.push_nowait("heard", {"present": sizes})

        def ask(payload: Any) -> None:
            heard = {"bytes": len(payload)} if isinstance(payload, bytes) else payload
            channel.push_nowait("heard", heard)

        presence.on_sync(report_presence)
        channel.on("ask", ask)
        channel.on("do", lambda payload: self._do(channel, payload))
        channel.on_join(lambda _response: self._group.create_task(_echo(channel)))
        self._when_lost.append(lambda: channel.push_nowait("buffered", {}))
        self._group.create_task(_join(channel))

    def _do(self, channel: ClientChannel, payload: Any) -> None:
        match payload["action"]:
            case Action.LEAVE_AND_JOIN:
                self._group.create_task(channel.leave())
                self.use_channel()
                return
            case Action.JOIN_AND_LEAVE:
                self._group.create_task(_join_and_leave(self._client.channel(payload["topic"])))
            case Action.JOIN_WHEN_LOST:
                other = self._client.channel(payload["topic"])
                self._when_lost.append(lambda: self._group.create_task(_join(other)))
            case Action.PUSH_WHEN_LOST:
                push = partial(_push_outdated, channel, payload["timeout_ms"] / 1000)
                self._when_lost.append(lambda: self._group.create_task(push()))
            case Action.SUSPEND:
                suspend(payload["seconds"])
            case other_action:
                raise AssertionError(other_action)
        channel.push_nowait("heard", {"done": payload["action"]})

    def _lost(self, _code: int, _reason: str) -> None:
        acts, self._when_lost = self._when_lost, []
        for act in acts:
            act()


def suspend(seconds: float) -> None:
    """Stop this thread and its event loop, as a phone does with an app in the background."""
    time.sleep(seconds)


async def _join_and_leave(channel: ClientChannel) -> None:
    joining = asyncio.create_task(_join(channel))
    await asyncio.sleep(0)
    await channel.leave()
    await joining


async def _push_outdated(channel: ClientChannel, timeout_s: float) -> None:
    try:
        await channel.push(OUTDATED, {}, timeout_s)
    except PushTimeoutError:
        channel.push_nowait("heard", {"expired": True})


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
