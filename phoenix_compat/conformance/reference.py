"""The reference channel set: what a server under test hosts while the vectors are played.

Plain channels, written with the public API alone; nothing here knows the vectors.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from phoenix_compat import (
    Channel,
    Endpoint,
    HandleResult,
    LongPollOptions,
    Result,
    Socket,
    SocketHandler,
    WebSocketOptions,
    error,
    mount,
    ok,
    on,
    stop,
)
from phoenix_compat.cluster import Bus, PresenceReplicas, PubSubRelay, WorkerProcess
from phoenix_compat.conformance.control_guard import control_guard, guarded
from phoenix_compat.presence import Presence
from phoenix_compat.protocol.browser import PageGuard
from phoenix_compat.transports.aiohttp.peers import Peers

_SOME_BYTES = [0, 1, 2, 127, 128, 254, 255]
_SLOW_TIMEOUT_S = 2.0
_WINDOW_S = 10.0
_SHORT_WINDOW_S = 1.0
_ORIGINS = (
    "//example.com",
    "http://scheme.example",
    "//port.example:81",
    "//*.wild.example",
)


class RoomChannel(Channel):
    """`room:*`: an event for each way to answer."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Let everyone in."""
        return ok({"joined": topic})

    @on("echo")
    def echo(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok with the payload."""
        return ok(payload)

    @on("echo_error")
    def echo_error(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply error with the payload."""
        return error(payload)

    @on("reply_ok")
    def reply_ok(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok without a payload."""
        return ok()

    @on("reply_binary")
    def reply_binary(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok with the bytes listed in `bytes`."""
        return ok(bytes(payload.get("bytes", _SOME_BYTES)))

    @on("bin")
    def bin(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok with the same bytes."""
        return ok(payload)

    @on("push_binary")
    def push_binary(self, payload: Any, socket: Socket) -> HandleResult:
        """Push event `bin` with the bytes listed in `bytes`."""
        socket.push("bin", bytes(payload.get("bytes", _SOME_BYTES)))
        return None

    @on("push")
    def push(self, payload: Any, socket: Socket) -> HandleResult:
        """Push `msg` with the payload."""
        socket.push("msg", payload)
        return None

    @on("broadcast")
    def broadcast(self, payload: Any, socket: Socket) -> HandleResult:
        """Broadcast `msg` with the payload, then reply ok."""
        socket.broadcast("msg", payload)
        return ok()

    @on("broadcast_from")
    def broadcast_from(self, payload: Any, socket: Socket) -> HandleResult:
        """Broadcast `msg` to all others, then reply ok."""
        socket.broadcast_from("msg", payload)
        return ok()

    @on("whoami")
    def whoami(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok with what the client said when it connected."""
        return ok({"auth_token": socket.assigns["auth_token"], "params": socket.assigns["params"]})

    @on("noreply")
    def noreply(self, payload: Any, socket: Socket) -> HandleResult:
        """Say nothing."""
        return None

    @on("stop")
    def stop_normal(self, payload: Any, socket: Socket) -> HandleResult:
        """End the channel, reason normal."""
        return stop("normal")

    @on("stop_shutdown")
    def stop_shutdown(self, payload: Any, socket: Socket) -> HandleResult:
        """End the channel, reason shutdown."""
        return stop("shutdown")

    @on("stop_error")
    def stop_error(self, payload: Any, socket: Socket) -> HandleResult:
        """End the channel for a reason that is an error."""
        return stop("something broke")

    @on("stop_reply")
    def stop_reply(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply, then end the channel, reason shutdown."""
        return stop("shutdown", ok({"bye": True}))

    @on("crash")
    def crash(self, payload: Any, socket: Socket) -> HandleResult:
        """Raise."""
        raise RuntimeError("asked to crash")

    @on("disconnect_me")
    def disconnect_me(self, payload: Any, socket: Socket) -> HandleResult:
        """Disconnect every socket of this client's user, this one too."""
        if socket.id is not None:
            socket.endpoint.broadcast(socket.id, "disconnect", {})
        return None


class TaskChannel(Channel):
    """`task:*`: a join that may be refused or crash, and a push right after it."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Refuse `task:missing`, crash for `task:crash`, let everyone else in."""
        task_id = topic.removeprefix("task:")
        if task_id == "missing":
            return error({"reason": "not found"})
        if task_id == "crash":
            raise RuntimeError("asked to crash in join")
        socket.send_self(task_id)
        return ok()

    def handle_info(self, message: str, socket: Socket) -> None:
        """Push the progress of the task that was joined."""
        progress = {"task_id": message, "progress": 0.1, "status": "processing"}
        socket.push("progress", progress)


class PresenceChannel(Channel):
    """`presence:*`: who joined is present, until it leaves."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Let everyone in, as the socket's user or else the one of the payload."""
        said = payload.get("user") if isinstance(payload, dict) else None
        socket.assign(key=socket.assigns["user"] or said or "anonymous")
        socket.send_self("after_join")
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        """Track the user, then push who is there."""
        presence: Presence = socket.assigns["presence"]
        presence.track(socket, socket.assigns["key"], {"online_at": int(time.time())})
        socket.push("presence_state", presence.list(socket))

    @on("update")
    def update(self, payload: Any, socket: Socket) -> HandleResult:
        """Merge the payload into the meta, then reply ok."""
        presence: Presence = socket.assigns["presence"]
        presence.update(socket, socket.assigns["key"], lambda meta: {**meta, **payload})
        return ok()

    @on("list")
    def list(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok with who is there."""
        presence: Presence = socket.assigns["presence"]
        return ok(presence.list(socket))


class UserSocket(SocketHandler):
    """The socket of the set: two tokens are refused, the user names the socket."""

    channels = {"room:*": RoomChannel, "task:*": TaskChannel}  # noqa: RUF012

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        """Refuse `token=deny` plainly and `token=reject` with a reason."""
        token = params.get("token")
        if token == "deny":  # noqa: S105 - no secret
            return error()
        if token == "reject":  # noqa: S105 - no secret
            return error({"reason": "rejected"})
        socket.assign(
            user=params.get("user"), params=params, auth_token=connect_info.get("auth_token")
        )
        return ok()

    def id(self, socket: Socket) -> str | None:
        """`user:<user>`, or none for a client that did not say."""
        user = socket.assigns["user"]
        return None if user is None else f"user:{user}"


@dataclass(frozen=True, slots=True)
class Company:
    """What one of several processes of the set has of the others."""

    worker_process: WorkerProcess
    bus: Bus
    peers: Peers


@asynccontextmanager
async def open_reference_app(
    worker_process: WorkerProcess | None = None, guard: PageGuard | None = None
) -> AsyncIterator[web.Application]:
    """The reference channel set, or one process's share of it."""
    if worker_process is None:
        yield build_reference_app(guard=guard)
        return
    async with (
        Bus(worker_process.path, worker_process.node, worker_process.size) as bus,
        Peers(worker_process.node, worker_process.size, worker_process.http_path) as peers,
    ):
        app = build_reference_app(Company(worker_process, bus, peers), guard=guard)
        await bus.catch_up()
        yield app


def build_reference_app(
    company: Company | None = None, *, hurry: float = 1.0, guard: PageGuard | None = None
) -> web.Application:
    """The reference channel set in an aiohttp application, `POST /broadcast/…` included.

    Args:
        company: what this process has of others that serve with it.
        hurry: by how much its timeouts are shortened, for tests that are in a hurry.
        guard: which pages may post broadcasts; None: those of this machine.
    """
    if company is None:
        endpoint = Endpoint()
        presence = Presence(endpoint)
    else:
        endpoint = Endpoint(secret_key_base=company.worker_process.secret_key_base)
        presence = Presence(endpoint, node=company.worker_process.node)
        PubSubRelay(endpoint.pubsub, company.bus)
        PresenceReplicas(presence, company.bus)

    class ReferenceSocket(UserSocket):
        """The socket of the set, with the presence of this application."""

        channels = {  # noqa: RUF012 - a ClassVar of the base
            **UserSocket.channels,
            "presence:*": (PresenceChannel, {"presence": presence}),
        }

    endpoint.socket(
        "/socket", ReferenceSocket, longpoll=LongPollOptions(window_s=_WINDOW_S / hurry)
    )
    endpoint.socket(
        "/slow", ReferenceSocket, websocket=WebSocketOptions(timeout_s=_SLOW_TIMEOUT_S / hurry)
    )
    endpoint.socket(
        "/extra",
        ReferenceSocket,
        websocket=WebSocketOptions(check_origin=_ORIGINS),
        longpoll=LongPollOptions(check_origin=_ORIGINS, window_s=_SHORT_WINDOW_S / hurry),
        auth_token=True,
    )
    app = web.Application()
    mount(app, endpoint, peers=None if company is None else company.peers)

    async def broadcast(request: web.Request) -> web.Response:
        """Broadcast the body's JSON object `n` times from outside any channel."""
        try:
            payload = json.loads(await request.read())
            times = int(request.query.get("n", "1"))
        except (ValueError, RecursionError) as error:
            raise web.HTTPBadRequest(text="the body must be JSON, and n a number") from error
        for _time in range(times):
            endpoint.broadcast(request.match_info["topic"], request.match_info["event"], payload)
        return web.Response(status=204)

    async def health(_request: web.Request) -> web.Response:
        """Which process this is."""
        return web.json_response({"node": 0 if company is None else company.worker_process.node})

    app.router.add_post("/broadcast/{topic}/{event}", guarded(broadcast, guard or control_guard()))
    app.router.add_get("/healthz", health)
    return app
