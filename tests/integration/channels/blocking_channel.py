"""A channel whose join and events wait until a test lets them continue."""

from __future__ import annotations

import asyncio
from typing import Any

from phoenix_compat import Channel, Socket, error, ok, on
from phoenix_compat.result import HandleResult, Result
from tests.serving import Diary


class BlockingChannel(Channel):
    """A channel whose join and events wait until the test lets them go on."""

    gate: asyncio.Event
    diary: Diary

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        self.diary.note(("joining", topic))
        if payload.get("waits"):
            await self.gate.wait()
        return ok() if payload.get("fails") is None else error({"reason": "failed"})

    @on("echo")
    async def echo(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)

    @on("wait")
    async def wait(self, payload: Any, socket: Socket) -> HandleResult:
        self.diary.note("waiting")
        await self.gate.wait()
        socket.push("too_late", {})
        return ok()

    @on("push")
    async def push(self, payload: Any, socket: Socket) -> HandleResult:
        socket.push("msg", payload)
        return None

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.diary.note(("ended", socket.topic, reason))


def blocking_channel() -> tuple[type[BlockingChannel], asyncio.Event, Diary]:
    """A BlockingChannel of its own, with its gate and its diary."""
    gate, diary = asyncio.Event(), Diary()
    channel = type("OwnBlockingChannel", (BlockingChannel,), {"gate": gate, "diary": diary})
    return channel, gate, diary
