"""The reference channel set: the channels that a server must host for the vectors to be played.

It is the counterpart of the file for Phoenix in docs/conformance.md: plain channels that use only
the public API, with one event for each kind of answer. Any server can host it, and nothing here
depends on the vectors. The matrix in tests/conformance has its own channels on purpose: what they
do depends on the payload of each test. They inherit only the handlers that are the same.
"""

from __future__ import annotations

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
from phoenix_compat.cluster import Bus, PresenceReplicas, PubSubRelay, UnixBus, WorkerProcess
from phoenix_compat.conformance.control_guard import ControlGuard, control_guard, guarded
from phoenix_compat.conformance.reference_broadcast import broadcast, is_broadcast
from phoenix_compat.presence import Presence
from phoenix_compat.transports.aiohttp.peers import Peers
from phoenix_compat.transports.aiohttp.request import path_as_sent, query_as_sent, to_aiohttp
from phoenix_compat.transports.paths import segments

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


def _bytes_of(payload: Any) -> bytes:
    """The bytes listed in `bytes`; without that key the same few.

    Raises:
        TypeError, ValueError: it is not a list of integers from 0 to 255.
    """
    listed = payload.get("bytes", _SOME_BYTES) if isinstance(payload, dict) else _SOME_BYTES
    if not isinstance(listed, list) or any(type(byte) is not int for byte in listed):
        raise TypeError("`bytes` needs a list of integers from 0 to 255")
    return bytes(listed)


def _name_of(payload: Any) -> str | int | None:
    """The `user` in a payload, if it is a string or an integer."""
    user = payload.get("user") if isinstance(payload, dict) else None
    return user if isinstance(user, str) or type(user) is int else None


class RoomChannel(Channel):
    """`room:*`: one event for each kind of answer."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Accept every client."""
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
        return ok(_bytes_of(payload))

    @on("bin")
    def bin(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok with the same bytes; there is no handler for other payloads."""
        if not isinstance(payload, bytes):
            raise TypeError("bin needs a binary payload")
        return ok(payload)

    @on("push_binary")
    def push_binary(self, payload: Any, socket: Socket) -> HandleResult:
        """Push event `bin` with the bytes listed in `bytes`."""
        socket.push("bin", _bytes_of(payload))
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
        """Broadcast `msg` to everyone else, then reply ok."""
        socket.broadcast_from("msg", payload)
        return ok()

    @on("whoami")
    def whoami(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok with the auth token and the params of connect."""
        return ok({"auth_token": socket.assigns["auth_token"], "params": socket.assigns["params"]})

    @on("noreply")
    def noreply(self, payload: Any, socket: Socket) -> HandleResult:
        """Do not reply."""
        return None

    @on("stop")
    def stop_normal(self, payload: Any, socket: Socket) -> HandleResult:
        """Stop the channel with the reason normal."""
        return stop("normal")

    @on("stop_shutdown")
    def stop_shutdown(self, payload: Any, socket: Socket) -> HandleResult:
        """Stop the channel with the reason shutdown."""
        return stop("shutdown")

    @on("stop_error")
    def stop_error(self, payload: Any, socket: Socket) -> HandleResult:
        """Stop the channel with a reason that is an error."""
        return stop("something broke")

    @on("stop_reply")
    def stop_reply(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok, then stop the channel with the reason shutdown."""
        return stop("shutdown", ok({"bye": True}))

    @on("crash")
    def crash(self, payload: Any, socket: Socket) -> HandleResult:
        """Raise."""
        raise RuntimeError("asked to crash")

    @on("disconnect_me")
    def disconnect_me(self, payload: Any, socket: Socket) -> HandleResult:
        """Disconnect every socket of this user, including this one."""
        if socket.id is not None:
            socket.endpoint.broadcast(socket.id, "disconnect", {})
        return None


class TaskChannel(Channel):
    """`task:*`: a join that can be refused or crash, and a push right after it."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Refuse `task:missing`, crash on `task:crash`, accept any other task."""
        task_id = topic.removeprefix("task:")
        if task_id == "missing":
            return error({"reason": "not found"})
        if task_id == "crash":
            raise RuntimeError("asked to crash in join")
        socket.send_self(task_id)
        return ok()

    def handle_info(self, message: str, socket: Socket) -> None:
        """Push the progress of the task."""
        progress = {"task_id": message, "progress": 0.1, "status": "processing"}
        socket.push("progress", progress)


class PresenceChannel(Channel):
    """`presence:*`: tracks every client that joins."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Accept every client, as the socket's user or the `user` in the payload."""
        names = (socket.assigns["user"], _name_of(payload), "anonymous")
        socket.assign(key=next(name for name in names if name is not None))
        socket.send_self("after_join")
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        """Track the user, then push `presence_state`."""
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
        """Reply ok with the list of presences."""
        presence: Presence = socket.assigns["presence"]
        return ok(presence.list(socket))


class UserSocket(SocketHandler):
    """The socket of the set: it refuses two tokens; the user is its id."""

    channels = {"room:*": RoomChannel, "task:*": TaskChannel}  # noqa: RUF012

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        """Refuse `token=deny` without a reason and `token=reject` with one."""
        token = params.get("token")
        if token == "deny":  # noqa: S105 - not a secret
            return error()
        if token == "reject":  # noqa: S105 - not a secret
            return error({"reason": "rejected"})
        user = params.get("user")
        socket.assign(
            user=user if isinstance(user, str) else None,
            params=params,
            auth_token=connect_info.get("auth_token"),
        )
        return ok()

    def id(self, socket: Socket) -> str | None:
        """`user:<user>`, or None if the param `user` is missing or not a string."""
        user = socket.assigns["user"]
        return None if user is None else f"user:{user}"


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """One process of several that host the set together, with its connections to the others."""

    worker_process: WorkerProcess
    bus: Bus
    peers: Peers


@asynccontextmanager
async def open_reference_app(
    worker_process: WorkerProcess | None = None, guard: ControlGuard | None = None
) -> AsyncIterator[web.Application]:
    """The reference channel set as an application, alone or as one process of a cluster."""
    if worker_process is None:
        yield build_reference_app(guard=guard)
        return
    async with (
        UnixBus(worker_process.path, worker_process.node, worker_process.size) as bus,
        Peers(worker_process.node, worker_process.size, worker_process.http_path) as peers,
    ):
        app = build_reference_app(ClusterNode(worker_process, bus, peers), guard=guard)
        await bus.catch_up()
        yield app


def mount_reference_sockets(endpoint: Endpoint, presence: Presence, speedup: float = 1.0) -> None:
    """Mount the sockets of the set.

    Args:
        presence: who is on the topics `presence:*`.
        speedup: the factor by which its timeouts are shortened, for fast tests.
    """

    class ReferenceSocket(UserSocket):
        """The socket of the set, with this application's presence."""

        channels = {  # noqa: RUF012 - a ClassVar of the base
            **UserSocket.channels,
            "presence:*": (PresenceChannel, {"presence": presence}),
        }

    endpoint.socket(
        "/socket", ReferenceSocket, longpoll=LongPollOptions(window_s=_WINDOW_S / speedup)
    )
    endpoint.socket(
        "/slow", ReferenceSocket, websocket=WebSocketOptions(timeout_s=_SLOW_TIMEOUT_S / speedup)
    )
    endpoint.socket(
        "/extra",
        ReferenceSocket,
        websocket=WebSocketOptions(check_origin=_ORIGINS),
        longpoll=LongPollOptions(check_origin=_ORIGINS, window_s=_SHORT_WINDOW_S / speedup),
        auth_token=True,
    )


def build_reference_app(
    cluster_node: ClusterNode | None = None,
    *,
    endpoint: Endpoint | None = None,
    speedup: float = 1.0,
    guard: ControlGuard | None = None,
) -> web.Application:
    """The reference channel set as an aiohttp application, with `POST /broadcast/…`.

    Args:
        cluster_node: this process, if several host the set together.
        endpoint: instead of a new one, such as one with a bus.
        speedup: the factor by which its timeouts are shortened, for fast tests.
        guard: who may post broadcasts; by default every program, and web pages of this machine.
    """
    if cluster_node is None:
        endpoint = endpoint or Endpoint()
        presence = Presence(endpoint)
    else:
        endpoint = Endpoint(secret_key_base=cluster_node.worker_process.secret_key_base)
        presence = Presence(endpoint, node=cluster_node.worker_process.node)
        PubSubRelay(endpoint.pubsub, cluster_node.bus)
        PresenceReplicas(presence, cluster_node.bus)

    mount_reference_sockets(endpoint, presence, speedup)
    app = web.Application()
    mount(app, endpoint, peers=None if cluster_node is None else cluster_node.peers)

    async def post_broadcast(request: web.Request) -> web.StreamResponse:
        """Broadcast the JSON object in the body `n` times, from outside any channel."""
        path = segments(path_as_sent(request))
        answer = broadcast(endpoint, path, query_as_sent(request), await request.read())
        return to_aiohttp(request, answer)

    guarded_broadcast = guarded(post_broadcast, guard or control_guard())

    async def below_broadcast(request: web.Request) -> web.StreamResponse:
        """Answer 404 to other methods and paths, as Phoenix does."""
        if not is_broadcast(request.method, segments(path_as_sent(request))):
            raise web.HTTPNotFound
        return await guarded_broadcast(request)

    async def health(_request: web.Request) -> web.Response:
        """Return the number of this process."""
        return web.json_response(
            {"node": 0 if cluster_node is None else cluster_node.worker_process.node}
        )

    app.router.add_route("*", "/{slashes:/*}broadcast/{rest:.*}", below_broadcast)
    app.router.add_get("/healthz", health)
    return app
