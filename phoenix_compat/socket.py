"""The socket that `connect` and the channel callbacks get, and the socket handler to subclass.

Source: phoenix 1.8.12, lib/phoenix/socket.ex and lib/phoenix/channel.ex.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from phoenix_compat.declarations.callbacks import check_callbacks
from phoenix_compat.errors import LocalProtocolError, NotJoinedError
from phoenix_compat.protocol.message import Broadcast, Payload, Ref
from phoenix_compat.protocol.query import Params
from phoenix_compat.result import DONE, Done, Result, error


class Broadcaster(Protocol):
    """What a socket needs of its endpoint."""

    @property
    def credential_words(self) -> Sequence[str]:
        """See Endpoint: what the names of parameters contain that logs hide."""

    def broadcast(self, topic: str, event: str, payload: Payload) -> Done:
        """See Endpoint.broadcast."""

    def local_broadcast(self, topic: str, event: str, payload: Payload) -> Done:
        """See Endpoint.local_broadcast."""

    def subscribe(self, topic: str, subscriber: Callable[[Broadcast], None]) -> None:
        """See Endpoint.subscribe."""

    def unsubscribe(self, topic: str, subscriber: Callable[[Broadcast], None]) -> None:
        """See Endpoint.unsubscribe."""


class RunningChannel(Protocol):
    """The running channel behind a socket; it carries out the socket's methods."""

    def push(self, event: str, payload: Payload) -> None:
        """Send an event to this client."""

    def broadcast(self, event: str, payload: Payload, *, is_from: bool) -> None:
        """Send an event to all subscribers of the topic, or to all except this channel."""

    def reply(self, join_ref: Ref, ref: Ref, result: Result) -> None:
        """Reply to one message of this client."""

    def send_self(self, message: Any) -> None:
        """Put a message into the channel's own mailbox."""

    def subscribe(self, topic: str) -> None:
        """Put broadcasts of another topic into the mailbox."""

    def unsubscribe(self, topic: str) -> None:
        """Undo subscribe."""

    def monitor(self, on_end: Callable[[], None]) -> None:
        """Call a function once when the channel ends."""

    def close_at(self, time_s: float) -> None:
        """Close the client's connection at this time, in seconds since 1970."""


class ReplyRef:
    """A handle to reply to a message later, from any task, even after its channel has ended."""

    __slots__ = ("_channel", "_join_ref", "_ref")

    def __init__(self, channel: RunningChannel, join_ref: Ref, ref: Ref) -> None:
        self._channel = channel
        self._join_ref = join_ref
        self._ref = ref

    def reply(self, result: Result) -> Done:
        """Send the reply: `ref.reply(ok({"done": True}))`. Never waits; `await` is allowed.

        Source: phoenix 1.8.12, channel.ex, reply/2.
        """
        self._channel.reply(self._join_ref, self._ref, result)
        return DONE


class Socket:
    """One client on one topic (or, in `connect`, one client).

    Attributes:
        assigns: what `assign` stored. A channel starts with a copy of the connection's assigns.
        id: the socket's id, or None; see SocketHandler.id.
        topic: the joined topic; None in `connect`.
        join_ref: the ref of the join; it never changes.
        ref: the ref of the message being handled; None outside of handle_in.
        joined: whether the join was accepted.
        closes_at_s: when the connection is closed, in seconds since 1970, as `close_at` set it in
            `connect`; None for never.
        connection_topics: the topics that `connect` has subscribed to.
        transport: "websocket" or "longpoll".
        endpoint: the endpoint, for broadcasts to any topic.
        handler: the SocketHandler class that accepted the connection.
    """

    __slots__ = (
        "_audience",
        "_channel",
        "assigns",
        "closes_at_s",
        "connection_topics",
        "endpoint",
        "handler",
        "id",
        "join_ref",
        "joined",
        "ref",
        "topic",
        "transport",
    )

    def __init__(
        self, endpoint: Broadcaster, handler: type[SocketHandler], transport: str = "websocket"
    ) -> None:
        self.endpoint = endpoint
        self.handler = handler
        self.transport = transport
        self.assigns: dict[str, Any] = {}
        self.id: str | None = None
        self.topic: Any = None
        self.join_ref: Ref = None
        self.ref: Ref = None
        self.joined = False
        self.closes_at_s: float | None = None
        self._audience = ""
        self.connection_topics: tuple[str, ...] = ()
        self._channel: RunningChannel | None = None

    def for_channel(
        self,
        channel: RunningChannel,
        topic: str,
        join_ref: Ref,
        assigns: Mapping[str, Any] | None,
    ) -> Socket:
        """A copy for one channel, with its topic and with the route's assigns merged in."""
        socket = Socket(self.endpoint, self.handler, self.transport)
        socket.id = self.id
        socket.topic = topic
        socket.join_ref = join_ref
        socket.assigns = {**self.assigns, **assigns} if assigns else self.assigns.copy()
        socket._audience = self._audience
        socket._channel = channel
        return socket

    def channel_ended(self, ended: RunningChannel) -> None:
        """Use this in the place of the channel from now on, so that the channel can be freed."""
        self._channel = ended

    @property
    def audience(self) -> str:
        """Which payload of a broadcast with `payload_for` this client gets; see Endpoint.

        Set it in `connect`, or in `join` for one channel. Use few different ones: a broadcast is
        encoded once for each.
        """
        return self._audience

    @audience.setter
    def audience(self, audience: str) -> None:
        if self.joined:
            raise LocalProtocolError("the audience of a joined channel cannot change")
        self._audience = audience

    def assign(
        self,
        assigns: Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
        /,
        **more: Any,
    ) -> Socket:
        """Store values on this socket; other channels of the same client do not see them.

        Args:
            assigns: the values, or a function that gets the current assigns and returns them.
        """
        if callable(assigns):
            assigns = assigns(self.assigns)
        if assigns:
            self.assigns.update(assigns)
        self.assigns.update(more)
        return self

    def push(self, event: str, payload: Payload) -> Done:
        """Send an event to this client: `[join_ref, null, topic, event, payload]`.

        The payload is a dict, a typed object (a Struct, dataclass or pydantic model), or bytes for
        V2 clients. Never waits; `await` is allowed.

        Raises:
            NotJoinedError: inside `join`.
            EncodeError: the payload cannot be encoded.
        """
        self._joined_channel().push(event, payload)
        return DONE

    def broadcast(self, event: str, payload: Payload) -> Done:
        """Send an event to all subscribers of this topic, this client included.

        Raises:
            NotJoinedError: inside `join`.
            EncodeError: the payload cannot be encoded for a subscriber.
        """
        self._joined_channel().broadcast(event, payload, is_from=False)
        return DONE

    def broadcast_from(self, event: str, payload: Payload) -> Done:
        """Send an event to all subscribers of this topic except this channel."""
        self._joined_channel().broadcast(event, payload, is_from=True)
        return DONE

    def reply_ref(self) -> ReplyRef:
        """A handle to reply later to the message that is being handled now.

        Raises:
            NotJoinedError: inside `join`.
            LocalProtocolError: the current message has no ref, or no message is being handled.

        Source: phoenix 1.8.12, channel.ex, socket_ref/1.
        """
        channel = self._joined_channel()
        if self.ref is None:
            raise LocalProtocolError(
                "reply_ref() needs a message that carries a ref; call it inside handle_in"
            )
        return ReplyRef(channel, self.join_ref, self.ref)

    def send_self(self, message: Any) -> None:
        """Put a message at the end of this channel's mailbox; `handle_info` gets it.

        Allowed inside `join`; the message is then handled after the reply to the join.
        """
        self._any_channel().send_self(message)

    def subscribe(self, topic: str) -> None:
        """Subscribe to another topic; `handle_info` gets its broadcasts as Broadcast values.

        In `connect` it subscribes the connection: an event "disconnect" on the topic closes it, as
        one on the socket's id does. It ignores other events.

        Source: phoenix 1.8.12, lib/phoenix/socket.ex, __info__/2.
        """
        if self._channel is not None:
            self._channel.subscribe(topic)
        elif topic not in self.connection_topics:
            self.connection_topics = (*self.connection_topics, topic)

    def unsubscribe(self, topic: str) -> None:
        """Undo `subscribe`."""
        self._any_channel().unsubscribe(topic)

    def monitor(self, on_end: Callable[[], None]) -> None:
        """Call a function once when this channel ends, for whatever reason.

        It is called after the channel has left its topic, and before the client is notified. It
        must not block or raise.
        """
        self._any_channel().monitor(on_end)

    def close_at(self, time_s: float) -> None:
        """Close this client's connection with code 1001 at a time, in seconds since 1970.

        Call it in `connect` or in a channel, with the time when the client's token expires. The
        earliest of several times counts. One timer serves a connection.
        """
        if self._channel is not None:
            self._channel.close_at(time_s)
        elif self.closes_at_s is None or time_s < self.closes_at_s:
            self.closes_at_s = time_s

    def _any_channel(self) -> RunningChannel:
        if self._channel is None:
            raise NotJoinedError(self.topic)
        return self._channel

    def _joined_channel(self) -> RunningChannel:
        if self._channel is None or not self.joined:
            raise NotJoinedError(self.topic)
        return self._channel


class ConnectInfo(dict[str, Any]):
    """What a transport knows about a connection. The keys are Phoenix's:

    `peer_data` {"address", "port", "ssl_cert"}, `x_headers` [(name, value)],
    `sec_websocket_headers`, `trace_context_headers`, `user_agent`, `uri` {"scheme", "host", "port",
    "path", "query"}, `session` (a dict or None) with the option `session`, and the entries of the
    option `connect_info`. Ours: `headers` [(name, value)], those named in the option `headers`, and
    `cookies` {name: value} with the option `cookies`.
    """


class SocketHandler:
    """Decides who may connect, and lists the channels. Subclass it::

        class UserSocket(SocketHandler):
            channels = {"room:*": RoomChannel}

    Attributes:
        channels: topic patterns and their channel classes; the first match wins. A value may be a
            pair of a channel class and assigns for it.
        log: the log level for connects; None logs none.
    """

    channels: ClassVar[Mapping[str, Any]] = {}
    log: ClassVar[int | None] = logging.INFO

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_callbacks(cls, SocketHandler, ("connect", "id"))

    def connect(
        self, params: Params, socket: Socket, connect_info: ConnectInfo
    ) -> Awaitable[Result] | Result:
        """Accept a client with `ok()`, or refuse it with `error()` or `error(reason)`.

        Runs before the websocket handshake is answered. A refusal is HTTP 403, or the response of
        the socket's `error_handler`. May be `async def`.

        Args:
            params: the query parameters, including `vsn`, and the path variables. If both have the
                same name, the path variable wins. Path variables are not percent-decoded.
        """
        del params, socket, connect_info
        return error()

    def id(self, socket: Socket) -> str | None:
        """An id that all sockets of a user share, to disconnect them together; or None.

        `endpoint.broadcast(id, "disconnect", {})` closes them with code 1001.
        """
        del socket
        return None
