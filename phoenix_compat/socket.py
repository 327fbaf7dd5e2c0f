"""The socket: what `connect` and the channel callbacks hold, and the class that users write.

Source: phoenix 1.8.12, lib/phoenix/socket.ex and lib/phoenix/channel.ex.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Protocol

from phoenix_compat.errors import LocalProtocolError, NotJoinedError
from phoenix_compat.protocol.message import Broadcast, Payload, Ref
from phoenix_compat.protocol.query import Params
from phoenix_compat.result import DONE, Done, Result, error


class Broadcaster(Protocol):
    """What a socket knows of its endpoint."""

    def broadcast(self, topic: str, event: str, payload: Payload) -> Done:
        """See Endpoint.broadcast."""

    def local_broadcast(self, topic: str, event: str, payload: Payload) -> Done:
        """See Endpoint.local_broadcast."""

    def subscribe(self, topic: str, subscriber: Callable[[Broadcast], None]) -> None:
        """See Endpoint.subscribe."""

    def unsubscribe(self, topic: str, subscriber: Callable[[Broadcast], None]) -> None:
        """See Endpoint.unsubscribe."""


class Port(Protocol):
    """The running channel behind a socket; the socket's powers are carried out there."""

    def push(self, event: str, payload: Payload) -> None:
        """Send to this client."""

    def broadcast(self, event: str, payload: Payload, *, is_from: bool) -> None:
        """Send to all subscribers of the topic, or to all but this channel."""

    def reply(self, join_ref: Ref, ref: Ref, result: Result) -> None:
        """Answer one message of this client."""

    def send_self(self, message: Any) -> None:
        """Put a message into the channel's own mailbox."""

    def subscribe(self, topic: str) -> None:
        """Have broadcasts of another topic put into the mailbox."""

    def unsubscribe(self, topic: str) -> None:
        """Undo subscribe."""

    def monitor(self, at_end: Callable[[], None]) -> None:
        """Have a function called once when the channel ends, however it ends."""


class ReplyRef:
    """A message that may be answered later, from any task, even after its channel ended."""

    __slots__ = ("_join_ref", "_port", "_ref")

    def __init__(self, port: Port, join_ref: Ref, ref: Ref) -> None:
        self._port = port
        self._join_ref = join_ref
        self._ref = ref

    def reply(self, result: Result) -> Done:
        """Send the answer: `ref.reply(ok({"done": True}))`. Never waits; `await` is allowed.

        Source: phoenix 1.8.12, channel.ex, reply/2.
        """
        self._port.reply(self._join_ref, self._ref, result)
        return DONE


class Socket:
    """One client on one topic (or, in `connect`, one client).

    Attributes:
        assigns: what `assign` stored. A channel starts with a copy of its connection's.
        id: the socket's id, or None; see SocketHandler.id.
        topic: the joined topic; None in `connect`.
        join_ref: the ref of the join; constant for the life of the channel.
        ref: the ref of the message being handled, None outside of handle_in.
        joined: whether the join was answered.
        transport: "websocket" or "longpoll".
        endpoint: where broadcasts to any topic are sent from.
        handler: the SocketHandler class that accepted the connection.
    """

    __slots__ = (
        "_port",
        "assigns",
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
        self._port: Port | None = None

    def for_channel(
        self, port: Port, topic: str, join_ref: Ref, assigns: Mapping[str, Any] | None
    ) -> Socket:
        """The socket of a channel: a copy with the topic, and the route's assigns merged in."""
        socket = Socket(self.endpoint, self.handler, self.transport)
        socket.id = self.id
        socket.topic = topic
        socket.join_ref = join_ref
        socket.assigns = {**self.assigns, **assigns} if assigns else self.assigns.copy()
        socket._port = port
        return socket

    def assign(self, assigns: Mapping[str, Any] | None = None, /, **more: Any) -> Socket:
        """Store values on this socket; other channels of the same client do not see them."""
        if assigns:
            self.assigns.update(assigns)
        self.assigns.update(more)
        return self

    def push(self, event: str, payload: Payload) -> Done:
        """Send an event to this client: `[join_ref, null, topic, event, payload]`.

        The payload is a dict, or bytes for V2 clients. Never waits; `await` is allowed.

        Raises:
            NotJoinedError: inside `join`.
            EncodeError: the payload cannot be encoded.
        """
        self._joined_port().push(event, payload)
        return DONE

    def broadcast(self, event: str, payload: Payload) -> Done:
        """Send an event to all subscribers of this topic, this client included.

        Raises:
            NotJoinedError: inside `join`.
            EncodeError: the payload cannot be encoded for a subscriber.
        """
        self._joined_port().broadcast(event, payload, is_from=False)
        return DONE

    def broadcast_from(self, event: str, payload: Payload) -> Done:
        """Send an event to all subscribers of this topic except this channel."""
        self._joined_port().broadcast(event, payload, is_from=True)
        return DONE

    def reply_ref(self) -> ReplyRef:
        """A handle to answer the message now being handled later.

        Raises:
            NotJoinedError: inside `join`.
            LocalProtocolError: no message with a ref is being handled.

        Source: phoenix 1.8.12, channel.ex, socket_ref/1.
        """
        port = self._joined_port()
        if self.ref is None:
            raise LocalProtocolError(
                "reply_ref() needs a message that carries a ref; call it inside handle_in"
            )
        return ReplyRef(port, self.join_ref, self.ref)

    def send_self(self, message: Any) -> None:
        """Put a message into this channel's mailbox: `handle_info` gets it after what is there.

        Allowed inside `join`; it is handled after the join was answered.
        """
        self._any_port().send_self(message)

    def subscribe(self, topic: str) -> None:
        """Hear another topic: its broadcasts come to `handle_info`, as Broadcast values."""
        self._any_port().subscribe(topic)

    def unsubscribe(self, topic: str) -> None:
        """Stop hearing another topic."""
        self._any_port().unsubscribe(topic)

    def monitor(self, at_end: Callable[[], None]) -> None:
        """Have a function called once when this channel ends, however it ends.

        It is called after the channel left its topic, and before the client is told. It must not
        wait, and must not raise.
        """
        self._any_port().monitor(at_end)

    def _any_port(self) -> Port:
        if self._port is None:
            raise NotJoinedError(self.topic)
        return self._port

    def _joined_port(self) -> Port:
        if self._port is None or not self.joined:
            raise NotJoinedError(self.topic)
        return self._port


class ConnectInfo(dict[str, Any]):
    """What a transport knows of a connection. Keys as in Phoenix:

    `peer_data` {"address", "port", "ssl_cert"}, `x_headers` [(name, value)],
    `sec_websocket_headers`, `trace_context_headers`, `user_agent`, `uri` {"scheme", "host", "port",
    "path", "query"}, and the entries given as `connect_info` when the socket was mounted.
    """


class SocketHandler:
    """A socket: who may connect, and which channels there are. Subclass it::

        class UserSocket(SocketHandler):
            channels = {"room:*": RoomChannel}

    Attributes:
        channels: topic patterns and their channels; the first match wins. A value may be a pair of
            a channel and assigns for it.
        log: the level for connects, None for silence.
    """

    channels: ClassVar[Mapping[str, Any]] = {}
    log: ClassVar[int | None] = logging.INFO

    def connect(
        self, params: Params, socket: Socket, connect_info: ConnectInfo
    ) -> Awaitable[Result] | Result:
        """Accept a client with `ok()`, or refuse it with `error()` or `error(reason)`.

        Runs before the websocket handshake is answered; a refusal is HTTP 403, or what the socket's
        `error_handler` makes of the reason. May be `async def`.

        Args:
            params: the query, `vsn` included, and the path variables, which win.
        """
        del params, socket, connect_info
        return error()

    def id(self, socket: Socket) -> str | None:
        """The name under which all sockets of a user can be disconnected, or None.

        `endpoint.broadcast(id, "disconnect", {})` closes them with code 1001.
        """
        del socket
        return None
