"""The channel and the socket of Phoenix's own tests, test/phoenix/test/channel_test.exs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, ClassVar

from phoenix_compat import (
    Broadcast,
    Channel,
    HandleResult,
    ReplyRef,
    Result,
    Socket,
    SocketHandler,
    error,
    ok,
    on,
    stop,
)


@dataclass
class Token:
    """A Python value that is not JSON."""

    text: str


class FooChannel(Channel):
    """The channel of test/phoenix/test/channel_test.exs."""

    intercept = ("stop",)

    def join(self, topic: str, payload: Any, socket: Socket) -> Any:
        if topic == "foo:error":
            return error(reason=payload["error"])
        if topic == "foo:crash":
            return "unknown"
        if topic == "foo:speak":
            socket.push("too", {"early": True})
        socket.assign(payload=payload)
        return ok(joined=socket.joined) if topic == "foo:socket" else ok()

    @on("broadcast")
    async def broadcast(self, payload: Any, socket: Socket) -> HandleResult:
        await socket.broadcast("broadcast", payload)
        return ok()

    @on("broadcast_from")
    async def broadcast_from(self, payload: Any, socket: Socket) -> HandleResult:
        await socket.broadcast_from("broadcast", payload)
        return ok()

    @on("noreply")
    async def noreply(self, payload: Any, socket: Socket) -> HandleResult:
        await socket.push("noreply", {"resp": payload["req"]})
        return None

    @on("reply")
    async def answer(self, payload: Any, socket: Socket) -> HandleResult:
        return ok({"resp": payload["req"]}) if "req" in payload else ok()

    @on("async_reply")
    async def async_reply(self, payload: Any, socket: Socket) -> HandleResult:
        ref: ReplyRef = socket.reply_ref()
        asyncio.get_running_loop().call_soon(ref.reply, ok({"async_resp": payload["req"]}))
        return None

    @on("crash")
    async def crash(self, payload: Any, socket: Socket) -> HandleResult:
        raise RuntimeError("boom!")

    @on("stop")
    async def stop(self, payload: Any, socket: Socket) -> HandleResult:
        return stop(payload["reason"])

    @on("stop_and_reply")
    async def stop_and_reply(self, payload: Any, socket: Socket) -> HandleResult:
        return stop("shutdown", ok({"resp": payload["req"]}) if "req" in payload else ok())

    @on("subscribe")
    def subscribe(self, payload: Any, socket: Socket) -> HandleResult:
        socket.subscribe(payload["topic"])
        return ok()

    async def handle_out(self, event: str, payload: Any, socket: Socket) -> Any:
        return stop("shutdown")

    async def handle_info(self, message: Any, socket: Socket) -> Any:
        match message:
            case "stop":
                return stop("shutdown")
            case "push":
                await socket.push("info", {"reason": "push"})
            case "broadcast":
                await socket.broadcast_from("info", {"reason": "broadcast"})
            case "ref":
                socket.reply_ref()
            case Token():
                await socket.push("token", {"token": message})
            case Broadcast(event=event, payload=payload):
                await socket.push(event, payload)
            case _:
                pass
        return None

    def terminate(self, reason: Any, socket: Socket) -> Awaitable[None] | None:
        socket.assign(terminated=reason)
        return None


class UserSocket(SocketHandler):
    """Accepts everyone, unless there is a parameter `reason`."""

    channels: ClassVar = {
        "foo:*": FooChannel,
        "static:*": (FooChannel, {"key": "route", "own": 1}),
    }

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        if "reason" in params:
            return error(params["reason"]) if params["reason"] else error()
        socket.assign(params=params, peer=connect_info.get("peer_data"), key="connect")
        return ok()

    def id(self, socket: Socket) -> str | None:
        return "user:" + str(socket.assigns["params"].get("user", "0"))
