"""Serves one client: decodes its frames, starts and ends its channels, sends the replies.

The transport calls `receive` for one frame after another; nothing is awaited on the way. While a
join is pending, `is_blocked` is true and the transport holds back further frames, so that they are
answered after the join, as in Phoenix.

Source: phoenix 1.8.12, lib/phoenix/socket.ex, __in__/2, __info__/2; lib/phoenix/channel/server.ex,
join/4.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Collection
from typing import Any, Final

from phoenix_compat.bounded import brief, plain
from phoenix_compat.channel import Channel
from phoenix_compat.protocol.frame import CLOSE_GOING_AWAY, CLOSE_INTERNAL_ERROR
from phoenix_compat.protocol.jason import Buffer
from phoenix_compat.protocol.message import (
    CHANNEL_CRASH,
    DISCONNECT,
    HEARTBEAT,
    PHOENIX_TOPIC,
    PHX_CLOSE,
    PHX_ERROR,
    PHX_JOIN,
    PHX_LEAVE,
    TOO_MANY_CHANNELS,
    UNMATCHED_TOPIC,
    Broadcast,
    Message,
    Payload,
    Ref,
)
from phoenix_compat.protocol.session import Decision, decide
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.result import Reason
from phoenix_compat.runtime.channel_owner import OwnedChannel
from phoenix_compat.runtime.channel_server import ChannelServer
from phoenix_compat.runtime.engine import Connection, Engine
from phoenix_compat.runtime.join import Join
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.socket import Socket

log = logging.getLogger(__name__)

_DECIDED: Final = frozenset({HEARTBEAT, PHX_JOIN, PHX_LEAVE})
"""Events that the socket itself may handle; `decide` has the rules."""


Route = tuple[type[Channel], dict[str, Any] | None]
"""A channel class and the assigns of its route."""


class SocketServer:
    """Serves one client; see the module docstring.

    Attributes:
        number: counts the connections of the endpoint, from 1.
        channels: the joined channels by topic.
        closed_for: why the connection was closed; None while it is open.
        opened_at_s, heartbeat_at_s: on the monotonic clock; 0.0 without a heartbeat.
    """

    __slots__ = (
        "_closes_at_s",
        "_closing",
        "_connection",
        "_engine",
        "_routes",
        "channels",
        "closed_for",
        "heartbeat_at_s",
        "is_blocked",
        "number",
        "opened_at_s",
        "outbox",
        "socket",
    )

    def __init__(
        self,
        engine: Engine,
        routes: TopicRoutes[Route],
        socket: Socket,
        outbox: Outbox,
        connection: Connection,
    ) -> None:
        self.outbox = outbox
        self.is_blocked = False
        self._engine = engine
        self._routes = routes
        self._connection = connection
        self.socket = socket
        self.channels: dict[str, ChannelServer] = {}
        self.closed_for: Reason | None = None
        self._closes_at_s = math.inf
        self._closing: asyncio.TimerHandle | None = None
        if socket.closes_at_s is not None:
            self.close_at(socket.closes_at_s)
        for topic in self._own_topics:
            engine.pubsub.subscribe(topic, self._on_own_topic)
        self.number = engine.counters.sockets_connected = engine.counters.sockets_connected + 1
        outbox.wire.sockets += 1
        self.opened_at_s = time.monotonic()
        self.heartbeat_at_s = 0.0

    @property
    def engine(self) -> Engine:
        """See channel_owner.Owner."""
        return self._engine

    @property
    def has_channels(self) -> bool:
        """Whether a channel is joined, or its join is in progress."""
        return bool(self.channels) or self.is_blocked

    # Incoming frames.

    def receive(self, data: Buffer, *, is_binary: bool) -> None:
        """Handle one frame of the client, up to the first wait of a callback.

        Raises:
            RemoteProtocolError: the frame is unreadable; the transport closes with its code.
            EncodeError: the reply cannot be encoded; the transport closes with 1011.
        """
        wire = self.outbox.wire
        wire.frames_received += 1
        wire.bytes_received += len(data)
        message = wire.serializer.decode(data, is_binary=is_binary)
        topic, event = message.topic, message.event
        channel = self.channels.get(topic) if type(topic) is str else None
        if channel is None:
            if event == HEARTBEAT and topic == PHOENIX_TOPIC:
                self.heartbeat_at_s = time.monotonic()
                self.answer(None, message, "ok", {})
            else:
                self._receive_unjoined(message)
            return
        join_ref = message.join_ref
        if (
            type(event) is str
            and event not in _DECIDED
            and (join_ref is None or (type(join_ref) is str and join_ref == channel.join_ref))
        ):
            channel.receive(message)  # a fast path: `decide` would return DELIVER
            return
        decision = decide(message, is_joined=True, stored_join_ref=channel.join_ref)
        if decision is Decision.DELIVER:
            channel.receive(message)
        elif decision is Decision.HEARTBEAT:
            self.answer(None, message, "ok", {})
        elif decision is Decision.LEAVE:
            channel.leave(message)
        elif decision is Decision.REJOIN:
            self._rejoin(message, channel)

    def _receive_unjoined(self, message: Message) -> None:
        decision = decide(message, is_joined=False)
        if decision is Decision.HEARTBEAT:
            self.answer(None, message, "ok", {})
        elif decision is Decision.JOIN:
            self._join(message, None)
        elif decision is Decision.LEAVE_UNJOINED:
            self.answer(message.join_ref, message, "ok", {})
        else:
            self.answer(None, message, "error", UNMATCHED_TOPIC)

    def answer(self, join_ref: Ref, message: Message, status: str, response: Payload) -> None:
        """Reply to a message that no channel handles."""
        self.send_reply(join_ref, message.ref, message.topic, status, response)

    # Joins.

    def _rejoin(self, message: Message, old: ChannelServer) -> None:
        """Handle a duplicate join: kill the old channel; its phx_close follows the new reply."""
        if log.isEnabledFor(logging.DEBUG):
            topic = brief(message.topic)
            log.debug("Duplicate channel join for topic %s. Closing existing channel.", topic)
        old.kill()
        del self.channels[message.topic]
        self._engine.counters.channels_ended += 1
        self._join(message, old)

    def _join(self, message: Message, old: ChannelServer | None) -> None:
        route = self._routes.match(message.topic)
        counters = self._engine.counters
        if route is None:
            counters.joins_refused += 1
            topic = plain(message.topic)
            name = self.socket.handler.__name__
            log.warning('Ignoring unmatched topic "%s" in %s', topic, name)
            self.answer(None, message, "error", UNMATCHED_TOPIC)
        elif len(self.channels) >= self._engine.limits.max_channels_per_transport:
            counters.joins_refused += 1
            name, topic = self.socket.handler.__name__, brief(message.topic)
            log.error("too many channels joined in %s: refused the join of %s", name, topic)
            self.answer(message.join_ref, message, "error", TOO_MANY_CHANNELS)
        else:
            Join(self, message, old).start(*route)
            return
        self.close_old(old)

    # join.JoinOwner.

    def hold(self) -> None:
        """Block this client until its pending join is done."""
        self.is_blocked = True

    def go_on(self) -> None:
        """Handle the frames that came during the join."""
        self.is_blocked = False
        self._connection.unblocked()

    def fail(self, reason: str) -> None:
        """Close the connection because of a bug in the application."""
        self._connection.close(CLOSE_INTERNAL_ERROR, reason)

    def joined(self, topic: str, channel: ChannelServer) -> None:
        """Enter a channel whose join was accepted."""
        self.channels[topic] = channel

    def close_old(self, old: ChannelServer | None) -> None:
        """Send the phx_close of the channel that a join has replaced."""
        if old is not None:
            self._send_notice(old, PHX_CLOSE, {})

    # channel_owner.Owner.

    def send_reply(
        self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload
    ) -> None:
        """Encode and send a reply. Raises EncodeError."""
        outbox = self.outbox
        wire = outbox.wire
        frame = wire.serializer.encode_reply(join_ref, ref, topic, status, response)
        packet = wire.pack(frame)
        wire.frames_sent += 1
        wire.bytes_sent += len(packet)
        outbox.send(packet)

    def send_push(self, message: Message) -> None:
        """Encode and send a push. Raises EncodeError."""
        outbox = self.outbox
        outbox.send_frame(outbox.wire.serializer.encode(message))

    def channel_closed(self, channel: OwnedChannel) -> None:
        """Handle the graceful end of a channel."""
        self._remove(channel, PHX_CLOSE, {})

    def channel_crashed(self, channel: OwnedChannel) -> None:
        """Handle the crash of a channel."""
        self._remove(channel, PHX_ERROR, CHANNEL_CRASH)

    def _remove(self, channel: OwnedChannel, event: str, payload: Payload) -> None:
        topic = channel.socket.topic
        if self.channels.get(topic) is channel:
            del self.channels[topic]
            self._engine.counters.channels_ended += 1
            self._send_notice(channel, event, payload)

    def _send_notice(self, channel: OwnedChannel, event: str, payload: Payload) -> None:
        join_ref = channel.join_ref
        self.send_push(Message(join_ref, join_ref, channel.socket.topic, event, payload))

    # The end.

    def close_at(self, time_s: float) -> None:
        """See channel_owner.Owner. The connection has one timer, for the earliest time."""
        if self.closed_for is not None or time_s >= self._closes_at_s:
            return
        self._closes_at_s = time_s
        if self._closing is not None:
            self._closing.cancel()
        delay_s = max(0.0, time_s - time.time())
        self._closing = asyncio.get_running_loop().call_later(
            delay_s, self._connection.close, CLOSE_GOING_AWAY, ("shutdown", "expired")
        )

    def closed(self, reason: Reason) -> None:
        """End all channels of a closed connection. A second call changes nothing."""
        if self.closed_for is not None:
            return
        self.closed_for = reason
        counters = self._engine.counters
        counters.sockets_closed += 1
        counters.channels_ended += len(self.channels)
        self.outbox.wire.sockets -= 1
        self.outbox.discard()
        if self._closing is not None:
            self._closing.cancel()
        for topic in self._own_topics:
            self._engine.pubsub.unsubscribe(topic, self._on_own_topic)
        channels, self.channels = self.channels, {}
        for channel in channels.values():
            channel.close(reason)

    @property
    def _own_topics(self) -> Collection[str]:
        """The topics on which a "disconnect" closes the connection, each once."""
        socket = self.socket
        own = () if socket.id is None else (socket.id,)
        return {*own, *socket.connection_topics} if socket.connection_topics else own

    def _on_own_topic(self, broadcast: Broadcast) -> None:
        if broadcast.event == DISCONNECT:
            self.disconnect()

    def disconnect(self) -> None:
        """Close the connection, as the event "disconnect" on the socket's id does."""
        self._connection.close(CLOSE_GOING_AWAY, ("shutdown", "disconnected"))
