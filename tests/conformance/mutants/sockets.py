"""Mistakes of sockets: which message gets which answer, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from phoenix_compat.errors import RemoteProtocolError
from phoenix_compat.protocol import session
from phoenix_compat.protocol.message import (
    PHX_CLOSE,
    PHX_ERROR,
    UNMATCHED_TOPIC,
    Broadcast,
    Message,
)
from phoenix_compat.protocol.session import Decision
from phoenix_compat.runtime import socket_server
from phoenix_compat.runtime.channel_server import ChannelServer
from phoenix_compat.runtime.socket_server import SocketServer
from tests.conformance.mutants import mutant

WHERE_A_TOPIC_IS_NOT_JOINED = (
    "join/unmatched",
    "message/unjoined",
    "leave/event-after",
    "end/stop/normal",
    "end/stop/error",
    "join/topic/case-sensitive",
    "longpoll/post/error-reply",
)
WHERE_A_TOPIC_IS_JOINED_TWICE = (
    "join/duplicate",
    "message/stale/dropped",
    "leave/stale",
    "join/limit/duplicate",
)
WHERE_A_CHANNEL_CRASHES = (
    "end/stop/error",
    "end/crash",
    "message/push/no-object",
    "message/reserved",
    "binary/v1/reply",
)

decide = session.decide


def copy_join_ref(patch: pytest.MonkeyPatch, when: Callable[[Message, Any], bool]) -> None:
    """Copy the join_ref of the message into the reply if `when` holds."""
    answer = SocketServer.answer

    def copying(
        self: SocketServer, join_ref: Any, message: Message, status: str, response: Any
    ) -> None:
        own = message.join_ref if when(message, response) else join_ref
        answer(self, own, message, status, response)

    patch.setattr(SocketServer, "answer", copying)


@mutant(
    18,
    fails=["heartbeat/join-ref-not-echoed", "binary/heartbeat", "longpoll/batch/binary"],
)
def heartbeats_are_answered_with_their_join_ref(patch: pytest.MonkeyPatch) -> None:
    """The reply to a heartbeat copies the join_ref."""
    copy_join_ref(
        patch, lambda message, _: message.event == "heartbeat" and message.topic == "phoenix"
    )


@mutant(20, fails=["heartbeat/other-event"])
def the_topic_phoenix_is_special(patch: pytest.MonkeyPatch) -> None:
    """Every event on the topic phoenix is answered ok."""

    def deciding(message: Message, **known: Any) -> Decision:
        return Decision.HEARTBEAT if message.topic == "phoenix" else decide(message, **known)

    patch.setattr(socket_server, "decide", deciding)


@mutant(
    21,
    fails=WHERE_A_TOPIC_IS_NOT_JOINED,
)
def unmatched_topics_are_answered_with_their_join_ref(patch: pytest.MonkeyPatch) -> None:
    """The error for a topic that is not joined copies the join_ref."""
    copy_join_ref(patch, lambda _, response: response is UNMATCHED_TOPIC)


@mutant(
    fails=["heartbeat/other-event", *WHERE_A_TOPIC_IS_NOT_JOINED],
)
def unmatched_topics_are_not_answered(patch: pytest.MonkeyPatch) -> None:
    """A message for a topic that is not joined is dropped."""
    answer = SocketServer.answer

    def silent(self: SocketServer, join_ref: Any, *rest: Any) -> None:
        if rest[-1] is not UNMATCHED_TOPIC:
            answer(self, join_ref, *rest)

    patch.setattr(SocketServer, "answer", silent)


@mutant(
    22,
    fails=["leave/not-joined", "leave/twice"],
)
def leaving_what_is_not_joined_is_an_error(patch: pytest.MonkeyPatch) -> None:
    """A leave of a topic that is not joined gets `unmatched topic`."""

    def deciding(message: Message, **known: Any) -> Decision:
        found = decide(message, **known)
        return Decision.UNMATCHED if found is Decision.LEAVE_UNJOINED else found

    patch.setattr(socket_server, "decide", deciding)


@mutant(
    24,
    fails=[
        "connect/vsn/absent-is-v1",
        "message/reply/ok-v1",
        "message/push/v1",
        "leave/order-v1",
        "join/null-join-ref",
        "message/null-join-ref",
        "message/push/no-object-v1",
        "binary/v1/reply",
        "leave/null-join-ref",
        "end/crash/v1",
    ],
)
def messages_need_a_join_ref(patch: pytest.MonkeyPatch) -> None:
    """A message without a join_ref is stale, as in Phoenix 1.8.3 to 1.8.11."""

    def deciding(message: Message, **known: Any) -> Decision:
        found = decide(message, **known)
        is_stale = found is Decision.LEAVE and message.join_ref is None
        return Decision.STALE if is_stale else found

    receive = ChannelServer.receive

    def receiving(self: ChannelServer, message: Message) -> None:
        if message.join_ref is not None:
            receive(self, message)

    patch.setattr(socket_server, "decide", deciding)
    patch.setattr(ChannelServer, "receive", receiving)


@mutant(
    25,
    fails=["message/stale", "leave/stale", "binary/stale/empty-join-ref", "longpoll/batch/stale"],
)
def stale_messages_are_delivered(patch: pytest.MonkeyPatch) -> None:
    """The join_ref is ignored."""

    def deciding(message: Message, **known: Any) -> Decision:
        found = decide(message, **known)
        if found is not Decision.STALE:
            return found
        return Decision.LEAVE if message.event == "phx_leave" else Decision.DELIVER

    patch.setattr(socket_server, "decide", deciding)


@mutant(25, fails=["message/stale/type"])
def join_refs_are_compared_loosely(patch: pytest.MonkeyPatch) -> None:
    """1 and "1" count as equal."""
    patch.setattr(session, "_is_same", lambda join_ref, stored: str(join_ref) == str(stored))


@mutant(
    26,
    fails=[
        "join/duplicate",
        "message/stale/dropped",
        "leave/event-after",
        "broadcast/after-leave",
        "leave/order",
        "leave/stale",
        "leave/rejoin",
        "end/stop/normal",
        "end/stop/shutdown",
        "end/stop/reply",
        "join/limit/duplicate",
        "leave/null-join-ref",
        "leave/twice",
        "presence/leave",
        "presence/rejoin-state",
    ],
)
def phx_close_has_no_refs(patch: pytest.MonkeyPatch) -> None:
    """phx_close carries nulls."""
    send_push = SocketServer.send_push

    def without(self: SocketServer, message: Message) -> None:
        if message.event == PHX_CLOSE:
            message = msgspec.structs.replace(message, join_ref=None, ref=None)
        send_push(self, message)

    patch.setattr(SocketServer, "send_push", without)


@mutant(
    27,
    fails=WHERE_A_CHANNEL_CRASHES,
)
def phx_error_has_no_reason(patch: pytest.MonkeyPatch) -> None:
    """phx_error carries {}, as before 1.8.10."""
    patch.setattr(socket_server, "CHANNEL_CRASH", {})


@mutant(
    28,
    fails=WHERE_A_CHANNEL_CRASHES,
)
def a_crash_sends_phx_close(patch: pytest.MonkeyPatch) -> None:
    """A crashed channel sends phx_close, so its client does not rejoin."""
    patch.setattr(SocketServer, "channel_crashed", SocketServer.channel_closed)


@mutant(
    28,
    fails=["end/stop/normal", "end/stop/shutdown", "end/stop/reply"],
)
def a_normal_stop_sends_phx_error(patch: pytest.MonkeyPatch) -> None:
    """A channel that stopped sends phx_error, so its client rejoins."""
    forget = SocketServer._remove

    def erring(self: SocketServer, channel: ChannelServer, event: str, payload: Any) -> None:
        if event == PHX_CLOSE and not channel.is_leaving:
            event, payload = PHX_ERROR, {"reason": "channel_crash"}
        forget(self, channel, event, payload)

    patch.setattr(SocketServer, "_remove", erring)


@mutant(
    29,
    fails=[
        "join/unmatched",
        "join/refused/reason",
        "join/crash",
        "join/topic/case-sensitive",
        "join/limit/refused",
        "longpoll/post/error-reply",
    ],
)
def a_refused_join_is_closed(patch: pytest.MonkeyPatch) -> None:
    """phx_close follows the error reply to a join."""
    answer = SocketServer.answer

    def closing(
        self: SocketServer, join_ref: Any, message: Message, status: str, response: Any
    ) -> None:
        answer(self, join_ref, message, status, response)
        if message.event == "phx_join" and status == "error":
            ref = message.join_ref
            self.send_push(Message(ref, ref, message.topic, PHX_CLOSE, {}))

    patch.setattr(SocketServer, "answer", closing)


@mutant(
    30,
    fails=WHERE_A_TOPIC_IS_JOINED_TWICE,
)
def the_old_channel_is_closed_before_the_new_is_answered(patch: pytest.MonkeyPatch) -> None:
    """On a duplicate join phx_close comes first."""
    rejoin = SocketServer._rejoin
    close_old = SocketServer.close_old

    def closing_first(self: SocketServer, message: Message, old: ChannelServer) -> None:
        close_old(self, old)
        rejoin(self, message, old)

    patch.setattr(SocketServer, "_rejoin", closing_first)
    patch.setattr(SocketServer, "close_old", lambda self, old: None)


@mutant(
    30,
    fails=WHERE_A_TOPIC_IS_JOINED_TWICE,
)
def a_duplicate_join_is_refused(patch: pytest.MonkeyPatch) -> None:
    """A topic can be joined only once."""

    def refusing(self: SocketServer, message: Message, old: ChannelServer) -> None:
        self.answer(message.join_ref, message, "error", {"reason": "already joined"})

    patch.setattr(SocketServer, "_rejoin", refusing)


@mutant(
    40,
    fails=WHERE_A_CHANNEL_CRASHES,
)
def a_crash_closes_the_connection(patch: pytest.MonkeyPatch) -> None:
    """A crash of one channel closes the whole connection."""

    def closing(self: SocketServer, channel: ChannelServer) -> None:
        self._connection.close(1011, "crash")

    patch.setattr(SocketServer, "channel_crashed", closing)


@mutant(
    41,
    fails=[
        "frame/undecodable",
        "binary/undecodable",
        "longpoll/batch/trailing-newline",
        "longpoll/undecodable",
    ],
)
def undecodable_messages_are_answered(patch: pytest.MonkeyPatch) -> None:
    """Malformed messages get an error reply; the connection stays open."""
    receive = SocketServer.receive

    def forgiving(self: SocketServer, data: bytes, *, is_binary: bool) -> None:
        try:
            receive(self, data, is_binary=is_binary)
        except RemoteProtocolError:
            self.answer(None, Message(None, None, "phoenix", "", {}), "error", {})

    patch.setattr(SocketServer, "receive", forgiving)


@mutant(52, fails=["end/disconnect websocket"])
def disconnect_closes_with_1000(patch: pytest.MonkeyPatch) -> None:
    """A disconnect closes with 1000, after which phoenix.js does not reconnect."""
    patch.setattr(socket_server, "CLOSE_GOING_AWAY", 1000)


@mutant(53, fails=["end/disconnect"])
def disconnect_closes_the_channels_first(patch: pytest.MonkeyPatch) -> None:
    """Each channel sends phx_close before a forced disconnect."""
    on_own_topic = SocketServer._on_own_topic

    def talkative(self: SocketServer, broadcast: Broadcast) -> None:
        for channel in tuple(self.channels.values()):
            self._send_notice(channel, PHX_CLOSE, {})
        on_own_topic(self, broadcast)

    patch.setattr(SocketServer, "_on_own_topic", talkative)


@mutant(56, fails=["join/limit/duplicate"])
def the_limit_counts_the_replaced_channel(patch: pytest.MonkeyPatch) -> None:
    """At the limit a duplicate join is refused."""
    rejoin = SocketServer._rejoin

    def counting(self: SocketServer, message: Message, old: ChannelServer) -> None:
        if len(self.channels) >= self._engine.limits.max_channels_per_transport:
            reason = {"reason": "too many channels joined"}
            self.answer(message.join_ref, message, "error", reason)
        else:
            rejoin(self, message, old)

    patch.setattr(SocketServer, "_rejoin", counting)
