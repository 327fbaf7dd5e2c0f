"""The channels of the matrix, and the frames that its tests compare with.

They are separate from `phoenix_compat.conformance.reference` on purpose. That set has fixed
answers, so that any server can host it. Here the payload of a join or an event decides what the
channel does, and the tests state the expected frames themselves, independent of the vectors.
Handlers that are the same are inherited from the reference set.
"""

from __future__ import annotations

import asyncio
from typing import Any

from phoenix_compat import (
    Channel,
    Endpoint,
    HandleResult,
    LongPollOptions,
    ReplyRef,
    Result,
    Socket,
    error,
    ok,
    on,
    reply,
    stop,
)
from phoenix_compat.conformance import reference
from phoenix_compat.presence import Presence
from tests.clients import LP_V1, LP_V2, WS_V1, WS_V2
from tests.serving import EventLog, accepting
from tests.wire import CRASHED

CLOSED = ["11", "11", "room:a", "phx_close", {}]
CRASH = ["11", "11", "room:a", "phx_error", CRASHED]
OPPOSITE = {WS_V1: LP_V2, WS_V2: LP_V1, LP_V1: WS_V2, LP_V2: WS_V1}


def event(name: str, payload: Any = None, ref: str = "2", topic: str = "room:a") -> list[Any]:
    """An event of a client that joined with join_ref 11."""
    return ["11", ref, topic, name, {} if payload is None else payload]


def answer(payload: Any, ref: str = "2", topic: str = "room:a") -> list[Any]:
    """A reply to that client."""
    return ["11", ref, topic, "phx_reply", payload]


class SharedState:
    """The state that the channels of one test share.

    Attributes:
        endings: `(topic, reason)` of each channel that has ended.
        release: the event `wait` is answered once this is set.
        later: the replies that the event `later` left open.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.presence = Presence(endpoint)
        self.endings = EventLog()
        self.release = asyncio.Event()
        self.later: list[ReplyRef] = []


def matrix_endpoint(shared: SharedState, longpoll: LongPollOptions | bool = True) -> Endpoint:
    """The endpoint with these channels, over websocket and long-polling."""
    assigns = {"shared": shared}
    handler = accepting(
        {
            "room:*": (RoomChannel, assigns),
            "lobby:*": (LobbyChannel, assigns),
            "presence:*": (PresenceChannel, assigns),
        }
    )
    shared.endpoint.socket("/socket", handler, longpoll=longpoll)
    return shared.endpoint


class BaseChannel(Channel):
    """Records why it ended."""

    def terminate(self, reason: Any, socket: Socket) -> None:
        socket.assigns["shared"].endings.record((socket.topic, reason))


class RoomChannel(BaseChannel, reference.RoomChannel):
    """`room:*`: the reference channel, with events whose payload decides what they do."""

    intercept = ("intercepted",)

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        if payload.get("crash"):
            raise RuntimeError("asked to crash in join")
        if "refuse" in payload:
            return error(payload["refuse"])
        if "call" in payload:
            getattr(socket, payload["call"])("early", {})
        socket.assign(name=payload.get("name"))
        return ok(payload.get("answer", {}))

    @on("name")
    def name(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(socket.assigns["name"])

    @on("reply")
    def reply(self, payload: Any, socket: Socket) -> HandleResult:
        return reply(payload["status"], payload["response"])

    @on("mixture")
    def mixture(self, payload: Any, socket: Socket) -> HandleResult:
        socket.push("one", {})
        socket.broadcast("two", {})
        socket.push("three", {})
        return ok()

    @on("intercepted")
    def intercepted(self, payload: Any, socket: Socket) -> HandleResult:
        socket.broadcast("intercepted", payload)
        return None

    def handle_out(self, event: str, payload: Any, socket: Socket) -> None:
        socket.push(event, {**payload, "seen_by": socket.transport})

    @on("wait")
    async def wait(self, payload: Any, socket: Socket) -> HandleResult:
        await socket.assigns["shared"].release.wait()
        return ok()

    @on("later")
    def later(self, payload: Any, socket: Socket) -> HandleResult:
        socket.assigns["shared"].later.append(socket.reply_ref())
        return None

    @on("stop_with")
    def stop_with(self, payload: Any, socket: Socket) -> HandleResult:
        return stop(payload["reason"], ok({"bye": True}) if payload.get("replies") else None)


class LobbyChannel(BaseChannel):
    """`lobby:*`: pushes right after the join, and in `terminate`."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.assign(user=payload.get("user"))
        socket.send_self("after_join")
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        socket.push("joined", {"status": "connected"})
        socket.broadcast("user_entered", {"user": socket.assigns["user"]})

    def terminate(self, reason: Any, socket: Socket) -> None:
        socket.push("you_left", {"message": "bye!"})
        super().terminate(reason, socket)


class PresenceChannel(BaseChannel):
    """`presence:*`: tracks every client that joins."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.assign(user=payload["user"])
        socket.send_self("after_join")
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        presence: Presence = socket.assigns["shared"].presence
        presence.track(socket, socket.assigns["user"], {"on": 1})
        socket.push("presence_state", presence.list(socket))

    @on("update")
    def update(self, payload: Any, socket: Socket) -> HandleResult:
        socket.assigns["shared"].presence.update(socket, socket.assigns["user"], payload)
        return ok()
