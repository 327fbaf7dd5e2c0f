"""Mistakes of channels: what they send, when, and to whom."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from phoenix_compat.protocol.message import Message
from phoenix_compat.pubsub import PubSub
from phoenix_compat.result import Result, ok
from phoenix_compat.runtime.channel_owner import Ending
from phoenix_compat.runtime.channel_server import ChannelServer
from phoenix_compat.runtime.socket_server import SocketServer
from tests.conformance.mutants import mutant

WHERE_A_HANDLER_PUSHES = (
    "join/false-join-ref",
    "message/push/v2",
    "message/push/v1",
    "join/null-join-ref",
    "message/push/no-object-v1",
    "message/exact/push",
    "message/join-order/burst",
)
WHERE_A_CLIENT_LEAVES = (
    "leave/event-after",
    "broadcast/after-leave",
    "leave/order",
    "leave/order-v1",
    "leave/rejoin",
    "join/null-join-ref",
    "leave/null-join-ref",
    "leave/twice",
    "presence/leave",
    "presence/rejoin-state",
)
WHERE_A_SENDER_HEARS_ITSELF = (
    "broadcast/to-all",
    "broadcast/mixed-versions",
    "broadcast/after-leave",
    "longpoll/broadcast",
    "message/exact/broadcast",
    "binary/broadcast",
)


@mutant(
    23,
    fails=["message/noreply", "binary/push", "binary/refs/any-json", *WHERE_A_HANDLER_PUSHES],
)
def every_event_is_answered(patch: pytest.MonkeyPatch) -> None:
    """A handler that returns None sends an ok reply."""
    finish = ChannelServer._finish

    def answering(self: ChannelServer, item: Any, returned: Any) -> bool:
        is_silent = returned is None and isinstance(item, Message)
        return finish(self, item, ok() if is_silent else returned)

    patch.setattr(ChannelServer, "_finish", answering)


@mutant(
    34,
    fails=[
        "join/order",
        "join/duplicate/push-after-close",
        "presence/[!k]*",  # those of presence/key may come in any order
    ],
)
def pushes_come_before_the_join_reply(patch: pytest.MonkeyPatch) -> None:
    """The channel's first push comes before the reply to its join."""
    listen = ChannelServer.listen

    def eager(self: ChannelServer) -> None:
        listen(self)
        self.begin()

    patch.setattr(ChannelServer, "listen", eager)


@mutant(
    35,
    fails=WHERE_A_CLIENT_LEAVES,
)
def phx_close_comes_before_the_leave_reply(patch: pytest.MonkeyPatch) -> None:
    """The reply to a leave comes after phx_close."""

    def closing_first(self: ChannelServer, ending: Ending) -> bool:
        self._stop(ending.reason)
        if ending.leave is not None:
            self._answer(ending.leave, ok())
        return False

    patch.setattr(ChannelServer, "_end", closing_first)


@mutant(
    35,
    fails=WHERE_A_CLIENT_LEAVES,
)
def a_leave_is_not_closed(patch: pytest.MonkeyPatch) -> None:
    """No phx_close follows the reply to a leave."""
    channel_closed = SocketServer.channel_closed

    def silent(self: SocketServer, channel: ChannelServer) -> None:
        if channel.is_leaving:
            del self.channels[channel.socket.topic]
        else:
            channel_closed(self, channel)

    patch.setattr(SocketServer, "channel_closed", silent)


@mutant(
    37,
    fails=WHERE_A_SENDER_HEARS_ITSELF,
)
def broadcasts_leave_out_their_sender(patch: pytest.MonkeyPatch) -> None:
    """broadcast behaves like broadcast_from."""
    broadcast = ChannelServer.broadcast

    def leaving_out(self: ChannelServer, event: str, payload: Any, *, is_from: bool) -> None:
        broadcast(self, event, payload, is_from=True)

    patch.setattr(ChannelServer, "broadcast", leaving_out)


@mutant(37, fails=["broadcast/from", "message/broadcast-from/alone"])
def broadcast_from_reaches_its_sender(patch: pytest.MonkeyPatch) -> None:
    """broadcast_from behaves like broadcast."""
    broadcast = ChannelServer.broadcast

    def including(self: ChannelServer, event: str, payload: Any, *, is_from: bool) -> None:
        broadcast(self, event, payload, is_from=False)

    patch.setattr(ChannelServer, "broadcast", including)


@mutant(
    38,
    fails=[
        "broadcast",
        "presence",
        "longpoll/broadcast",
        "message/exact/broadcast",
        "binary/broadcast",
    ],
)
def broadcasts_have_a_join_ref(patch: pytest.MonkeyPatch) -> None:
    """Each subscriber gets a broadcast as if its channel had pushed it."""

    members: dict[tuple[PubSub, str], list[Any]] = defaultdict(list)
    join, leave = PubSub.join, PubSub.leave

    def joining(self: PubSub, topic: str, member: Any) -> None:
        members[self, topic].append(member)
        join(self, topic, member)

    def leaving(self: PubSub, topic: str, member: Any) -> None:
        if member in members[self, topic]:
            members[self, topic].remove(member)
        leave(self, topic, member)

    broadcast = PubSub.broadcast

    def pushing(
        self: PubSub, topic: str, event: str, payload: Any, *, exclude: Any = None, **how: Any
    ) -> None:
        if not members[self, topic]:
            broadcast(self, topic, event, payload, exclude=exclude, **how)
        for member in tuple(members[self, topic]):
            if member is not exclude:
                member.push(event, payload)

    patch.setattr(PubSub, "join", joining)
    patch.setattr(PubSub, "leave", leaving)
    patch.setattr(PubSub, "broadcast", pushing)


@mutant(
    39,
    fails=WHERE_A_HANDLER_PUSHES,
)
def pushes_have_a_ref(patch: pytest.MonkeyPatch) -> None:
    """A push has the ref of the message that caused it."""

    def push(self: ChannelServer, event: str, payload: Any) -> None:
        socket = self.socket
        message = Message(socket.join_ref, socket.ref, socket.topic, event, payload)
        self._owner.send_push(message)

    patch.setattr(ChannelServer, "push", push)


@mutant(
    fails=WHERE_A_SENDER_HEARS_ITSELF,
)
def replies_come_before_what_their_handler_sent(patch: pytest.MonkeyPatch) -> None:
    """A broadcast is sent only after the reply of its handler."""
    broadcast = ChannelServer.broadcast
    reply = ChannelServer.reply
    held: list[Any] = []

    def holding(self: ChannelServer, event: str, payload: Any, *, is_from: bool) -> None:
        held.append((self, event, payload, is_from))

    def replying(self: ChannelServer, join_ref: Any, ref: Any, result: Result) -> None:
        reply(self, join_ref, ref, result)
        while held:
            channel, event, payload, is_from = held.pop()
            broadcast(channel, event, payload, is_from=is_from)

    patch.setattr(ChannelServer, "broadcast", holding)
    patch.setattr(ChannelServer, "reply", replying)
