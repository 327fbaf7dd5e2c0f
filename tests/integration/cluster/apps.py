"""An endpoint that several processes serve, as applications of aiohttp and of ASGI.

The environment says what they do: CHAT_SECRET is the endpoint's secret, CHAT_CLUSTER the name of
the Cluster, and CHAT_BUS the URL of the Redis of its bus; without them there is none.
"""

from __future__ import annotations

import os
from typing import Any

from aiohttp import web

from phoenix_compat import (
    Channel,
    Cluster,
    Endpoint,
    LongPollOptions,
    Presence,
    RedisBus,
    Socket,
    SocketHandler,
    asgi,
    mount,
    ok,
    on,
)
from phoenix_compat.result import HandleResult, Result


class RoomChannel(Channel):
    """Says which process it is in, and who is present."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.send_self("joined")
        return ok(pid=os.getpid())

    def handle_info(self, message: Any, socket: Socket) -> None:
        presence.track(socket, socket.assigns["user"], {"pid": os.getpid()})

    @on("say")
    def say(self, payload: Any, socket: Socket) -> HandleResult:
        socket.broadcast("said", payload)
        return None

    @on("kick")
    def kick(self, payload: Any, socket: Socket) -> HandleResult:
        socket.endpoint.broadcast(f"user:{payload['user']}", "disconnect", {})
        return None

    @on("list")
    def list(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(users=sorted(presence.list(socket)))


class UserSocket(SocketHandler):
    """Accepts everybody."""

    channels = {"room:*": RoomChannel}  # noqa: RUF012 - a ClassVar of the base

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        socket.assign(user=params.get("user", "somebody"))
        return ok()

    def id(self, socket: Socket) -> str:
        return f"user:{socket.assigns['user']}"


def a_cluster() -> Cluster | None:
    """The cluster that the environment asks for."""
    name = os.environ.get("CHAT_CLUSTER")
    return None if name is None else Cluster(name)


def a_bus() -> RedisBus | None:
    """The bus that the environment asks for, with a quick heartbeat."""
    url = os.environ.get("CHAT_BUS")
    return None if url is None else RedisBus(url, prefix="chat", heartbeat_s=0.2)


endpoint = Endpoint(secret_key_base=os.environ.get("CHAT_SECRET"), check_origin=False, bus=a_bus())
endpoint.socket("/socket", UserSocket, longpoll=LongPollOptions(window_s=2.0))
presence = Presence(endpoint)


@web.middleware
async def say_pid(request: web.Request, handler: Any) -> Any:
    """Say in each response which process the client has reached."""
    response = await handler(request)
    response.headers["X-Pid"] = str(os.getpid())
    return response


async def aiohttp_app() -> web.Application:
    """For gunicorn's workers of aiohttp."""
    app = web.Application(middlewares=[say_pid])
    mount(app, endpoint, cluster=a_cluster())
    return app


_inner = asgi.app(endpoint, cluster=a_cluster())


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """For uvicorn."""

    async def send_with_pid(event: Any) -> None:
        if event["type"] == "http.response.start":
            event = {**event, "headers": [*event["headers"], (b"x-pid", b"%d" % os.getpid())]}
        await send(event)

    await _inner(scope, receive, send_with_pid)
