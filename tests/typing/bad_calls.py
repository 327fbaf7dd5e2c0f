"""Mistakes in calls; each line marked `# bad` must be reported, and no other."""

from __future__ import annotations

from phoenix_compat import (
    Channel,
    Endpoint,
    Limits,
    ReplyRef,
    Socket,
    SocketHandler,
    WebSocketOptions,
    ok,
    stop,
)


def speak(socket: Socket, ref: ReplyRef) -> None:
    """What a channel can send."""
    socket.push("event")  # bad: call-arg
    socket.push({"body": "hello"}, "event")  # bad: arg-type
    socket.broadcast(event="new_msg")  # bad: call-arg
    socket.assign("key", "value")  # bad: arg-type, call-arg
    ref.reply({"done": True})  # bad: arg-type
    ref.reply("ok", {})  # bad: arg-type, call-arg


def end() -> None:
    """How a channel can end."""
    stop("normal", {"bye": True})  # bad: arg-type
    stop(5)  # bad: arg-type
    ok({}, {})  # bad: call-arg


def build(endpoint: Endpoint) -> None:
    """How sockets are mounted."""
    endpoint.socket("/socket", Channel)  # bad: arg-type
    endpoint.socket("/socket", SocketHandler())  # bad: arg-type
    endpoint.socket("/socket", SocketHandler, websocket={"timeout_s": 5})  # bad: arg-type
    WebSocketOptions(timeout=5)  # bad: call-arg
    Limits().join_timeout_s = 5  # bad: misc
