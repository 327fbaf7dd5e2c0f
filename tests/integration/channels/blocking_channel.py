"""A channel whose join and events wait until a test lets them continue."""

from __future__ import annotations

import asyncio
from typing import Any

from phoenix_compat import Channel, Socket, error, ok, on
from phoenix_compat.result import HandleResult, Result
from tests.serving import EventLog


class BlockingChannel(Channel):
    """A channel whose join and events wait until the test lets them go on."""

    release: asyncio.Event
    event_log: EventLog

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        self.event_log.record(("joining", topic))
        if payload.get("waits"):
            await self.release.wait()
        return ok() if payload.get("fails") is None else error({"reason": "failed"})

    @on("echo")
    async def echo(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)

    @on("wait")
    async def wait(self, payload: Any, socket: Socket) -> HandleResult:
        self.event_log.record("waiting")
        await self.release.wait()
        socket.push("too_late", {})
        return ok()

    @on("push")
    async def push(self, payload: Any, socket: Socket) -> HandleResult:
        socket.push("msg", payload)
        return None

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.event_log.record(("ended", socket.topic, reason))


def blocking_channel() -> tuple[type[BlockingChannel], asyncio.Event, EventLog]:
    """A new subclass of BlockingChannel, the event that releases it, and its event log."""
    release, event_log = asyncio.Event(), EventLog()
    channel = type(
        "OwnBlockingChannel", (BlockingChannel,), {"release": release, "event_log": event_log}
    )
    return channel, release, event_log
