"""Channels and sockets as users may write them; they type-check in strict mode."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

from aiohttp import web

from phoenix_compat import (
    CONN,
    JSON,
    Broadcast,
    Channel,
    ConnectInfo,
    Endpoint,
    HandleResult,
    Limits,
    LongPollOptions,
    Origin,
    Payload,
    Reason,
    ReplyRef,
    Result,
    Socket,
    SocketHandler,
    Stop,
    WebSocketOptions,
    error,
    mount,
    ok,
    on,
    reply,
    stop,
)


class NewMessage(TypedDict):
    """The payload of an event, as its handler uses it."""

    body: str


class AsyncChannel(Channel):
    """Every callback as a coroutine."""

    intercept = ("new_msg",)

    async def join(self, topic: str, payload: JSON, socket: Socket) -> Result:
        if topic == "room:private":
            return error(reason="unauthorized")
        socket.assign(topic=topic).send_self("after_join")
        return ok({"joined": topic})

    @on("new_msg")
    async def new_msg(self, payload: NewMessage, socket: Socket) -> HandleResult:
        await socket.broadcast("new_msg", {"body": payload["body"].strip()})
        return ok()

    @on("later")
    async def later(self, payload: dict[str, Any], socket: Socket) -> None:
        ref: ReplyRef = socket.reply_ref()

        async def work() -> None:
            await ref.reply(ok(done=True))

        socket.assign(work=asyncio.ensure_future(work()))

    @on("bye")
    async def bye(self, payload: JSON, socket: Socket) -> Stop:
        return stop("shutdown", ok(bye=True))

    async def handle_in(self, event: str, payload: Payload, socket: Socket) -> HandleResult:
        return reply("unknown", {"event": event})

    async def handle_out(self, event: str, payload: Payload, socket: Socket) -> Stop | None:
        await socket.push(event, {**payload, "seen": True})
        return None

    async def handle_info(self, message: str | Broadcast, socket: Socket) -> Stop | None:
        return stop() if message == "stop" else None

    async def terminate(self, reason: Reason, socket: Socket) -> None:
        socket.broadcast_from("left", {"reason": str(reason)})


class PlainChannel(Channel):
    """Every callback as a plain function."""

    def join(self, topic: str, payload: JSON, socket: Socket) -> Result:
        return ok(payload)

    @on("echo")
    def echo(self, payload: JSON, socket: Socket) -> Result:
        return ok(payload)

    @on("upload")
    def upload(self, payload: bytes, socket: Socket) -> Result | None:
        socket.push("copy", payload)
        return ok(b"\x00") if payload else None

    def handle_in(self, event: str, payload: Payload, socket: Socket) -> None:
        return None

    def handle_info(self, message: Any, socket: Socket) -> None:
        socket.subscribe("news")
        socket.unsubscribe("news")

    def terminate(self, reason: Reason, socket: Socket) -> None:
        return None


class AsyncSocket(SocketHandler):
    """`connect` as a coroutine."""

    channels = {"room:*": AsyncChannel, "plain": (PlainChannel, {"is_plain": True})}  # noqa: RUF012
    log = None

    async def connect(
        self, params: dict[str, Any], socket: Socket, connect_info: ConnectInfo
    ) -> Result:
        socket.assign(user=params["user"], agent=connect_info["user_agent"])
        return ok()

    def id(self, socket: Socket) -> str:
        return f"user:{socket.assigns['user']}"


class PlainSocket(SocketHandler):
    """`connect` as a plain function."""

    def connect(self, params: dict[str, Any], socket: Socket, connect_info: ConnectInfo) -> Result:
        return ok() if "token" in params else error("no token")


def is_ours(origin: Origin) -> bool:
    """A function that checks origins."""
    return origin.host is not None and origin.host.endswith(".example.com")


def refuse(request: web.Request, reason: Any) -> web.Response:
    """An error handler."""
    return web.json_response({"path": request.path, "reason": reason}, status=429)


def build() -> web.Application:
    """An application with both sockets."""
    endpoint = Endpoint(check_origin=["//example.com"], limits=Limits(join_timeout_s=5.0))
    endpoint.socket("/socket", AsyncSocket, longpoll=LongPollOptions(window_s=5.0))
    endpoint.socket(
        "/plain",
        PlainSocket,
        websocket=WebSocketOptions(check_origin=CONN, error_handler=refuse, timeout_s=5.0),
    )
    endpoint.socket("/ours", PlainSocket, websocket=WebSocketOptions(check_origin=is_ours))
    app = web.Application()
    mount(app, endpoint)
    return app


async def announce(endpoint: Endpoint, heard: list[Broadcast]) -> None:
    """Broadcasts from anywhere, awaited or not."""
    endpoint.subscribe("room:lobby", heard.append)
    await endpoint.broadcast("room:lobby", "new_msg", {"body": "hello"})
    endpoint.broadcast_from(heard.append, "room:lobby", "new_msg", {"body": "hello"})
    endpoint.local_broadcast("room:lobby", "new_msg", b"\x00")
    endpoint.unsubscribe("room:lobby", heard.append)
