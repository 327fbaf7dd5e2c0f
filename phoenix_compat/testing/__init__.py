"""Phoenix.ChannelTest for Python: tests channels with real sockets, but without a network.

    async def test_new_msg_reaches_the_room() -> None:
        async with ChannelTest() as channels:
            socket = await channels.connect(UserSocket, {"token": "x"})
            client = await channels.subscribe_and_join(socket, "room:lobby")

            ref = await client.push("new_msg", {"body": "hi"})

            await client.assert_reply(ref, "ok")
            await channels.assert_broadcast("room:lobby", "new_msg", including(body="hi"))

Messages of a client are encoded and decoded as V2, as in production. Messages to a client are
encoded as V2 too, so a payload that cannot be encoded fails as in production; but tests see the
values, not the bytes. When `push` returns, its handler has run up to its first wait.

A payload is compared with `==`, or passed to a predicate; without one, any payload matches. `ANY`
of `unittest.mock` matches any value inside a payload.

Differs from Phoenix: the joins of one socket share its connection, so a second join of a topic ends
the first, as for a real client; Phoenix.ChannelTest starts a channel for each join.

Start with this file; `client` has the assertions.

Source: phoenix 1.8.12, lib/phoenix/test/channel_test.ex.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self
from unittest.mock import ANY

from phoenix_compat.channel import Channel
from phoenix_compat.endpoint import Endpoint, MountedSocket
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.protocol.message import Payload
from phoenix_compat.result import Done, Result, ok
from phoenix_compat.socket import ConnectInfo, SocketHandler
from phoenix_compat.testing.client import (
    NO_FIELDS,
    TRANSPORT,
    ChannelClient,
    ConnectedSocket,
    JoinRefusedError,
)
from phoenix_compat.testing.inbox import Inbox, Seconds, Timeouts, including
from phoenix_compat.testing.transport import Connections, Environment, Recorder

__all__ = [
    "ANY",
    "ChannelClient",
    "ChannelTest",
    "ConnectRefusedError",
    "ConnectedSocket",
    "JoinRefusedError",
    "including",
]


class ConnectRefusedError(PhoenixCompatError):
    """`connect` returned `error(reason)`.

    Attributes:
        reason: the reason; `{}` for `error()` without one.
    """

    def __init__(self, reason: Any) -> None:
        super().__init__(f"connect was refused: {reason!r}")
        self.reason = reason


class ChannelTest:
    """Connects test clients to an endpoint. Leaving the `async with` block disconnects them.

    One endpoint may serve several tests, one after the other, also beside an application.

    Args:
        endpoint: the endpoint of the code under test; a new one by default.
        assert_timeout_s: how long assertions wait for a message.
        refute_timeout_s: how long refutations wait for a message.
    """

    def __init__(
        self,
        endpoint: Endpoint | None = None,
        *,
        assert_timeout_s: float = 0.1,
        refute_timeout_s: float = 0.02,
    ) -> None:
        self.endpoint = endpoint or Endpoint()
        timeouts = Timeouts(assert_timeout_s, refute_timeout_s)
        self._environment = Environment(self.endpoint, Recorder(), timeouts, Connections())
        self._sockets: list[ConnectedSocket] = []
        self._inboxes: dict[str, Inbox] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect all clients; cancel callbacks that wait longer than `assert_timeout_s`."""
        for socket in self._sockets:
            await socket.close()
        for topic, inbox in self._inboxes.items():
            self.endpoint.unsubscribe(topic, inbox.add_broadcast)
        environment = self._environment
        await self.endpoint.close(
            environment.connections, callbacks_timeout_s=environment.timeouts.assert_s
        )

    # Clients.

    async def connect(
        self,
        handler: type[SocketHandler],
        params: Mapping[str, Any] | None = None,
        connect_info: Mapping[str, Any] | None = None,
    ) -> ConnectedSocket:
        """Connect a client.

        Raises:
            ConnectRefusedError: `connect` returned `error(...)`.
            Exception: whatever `connect` raised.
        """
        mounted = _mounted(handler)
        socket = await mounted.connect(
            self.endpoint,
            dict(params or {}),
            ConnectInfo(connect_info or {}),
            serializer=Recorder.name,
            transport=TRANSPORT,
        )
        if isinstance(socket, Result):
            raise ConnectRefusedError(socket.payload)
        return self._connected(mounted, socket.id, socket.assigns)

    def socket(
        self,
        handler: type[SocketHandler | Channel],
        id: str | None = None,
        assigns: Mapping[str, Any] | None = None,
    ) -> ConnectedSocket:
        """Return a connected client without calling `connect`.

        Args:
            handler: a socket handler, or a channel class that serves every topic.
            id: the socket's id.
            assigns: the socket's assigns.
        """
        return self._connected(_mounted(handler), id, dict(assigns or {}))

    async def join(
        self, socket: ConnectedSocket | type[Channel], topic: str, payload: Payload = NO_FIELDS
    ) -> ChannelClient:
        """Join a topic; with a channel class, from a new socket that has only this channel.

        Raises:
            JoinRefusedError: the reply has status "error".
            AssertionError: the connection was closed instead.
        """
        connected = socket if isinstance(socket, ConnectedSocket) else self.socket(socket)
        return await connected.join(topic, payload)

    async def subscribe_and_join(
        self, socket: ConnectedSocket | type[Channel], topic: str, payload: Payload = NO_FIELDS
    ) -> ChannelClient:
        """Subscribe to a topic, then join it; see `subscribe` and `join`."""
        self.subscribe(topic)
        return await self.join(socket, topic, payload)

    # Topics.

    def subscribe(self, topic: str) -> None:
        """Record the broadcasts of a topic from now on, for `assert_broadcast`."""
        if topic not in self._inboxes:
            inbox = self._inboxes[topic] = Inbox(topic, self._environment.timeouts)
            self.endpoint.subscribe(topic, inbox.add_broadcast)

    def broadcast_from(self, topic: str, event: str, payload: Payload) -> Done:
        """Broadcast to all subscribers except this test: `assert_broadcast` does not see it."""
        return self.endpoint.broadcast_from(self._inbox(topic).add_broadcast, topic, event, payload)

    async def assert_broadcast(
        self, topic: str, event: str, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> Any:
        """Assert that the event is broadcast on a subscribed topic; return its payload."""
        label = ("broadcast", event)
        found = await self._inbox(topic).expect(*label, payload=payload, timeout_s=timeout_s)
        return found.payload

    async def refute_broadcast(
        self, topic: str, event: str = ANY, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> None:
        """Assert that the event is not broadcast; without an event, that nothing is."""
        label = ("broadcast", event)
        await self._inbox(topic).refute(*label, payload=payload, timeout_s=timeout_s)

    def _inbox(self, topic: str) -> Inbox:
        if topic not in self._inboxes:
            raise AssertionError(f"not subscribed: call subscribe({topic!r}) or subscribe_and_join")
        return self._inboxes[topic]

    def _connected(
        self, mounted: MountedSocket, id: str | None, assigns: dict[str, Any]
    ) -> ConnectedSocket:
        socket = ConnectedSocket(self._environment, mounted, id, assigns)
        self._sockets.append(socket)
        return socket


def _mounted(handler: type[SocketHandler | Channel]) -> MountedSocket:
    """Mount the handler, which checks its channels."""
    endpoint = Endpoint()
    endpoint.socket("/socket", _handler_for(handler) if issubclass(handler, Channel) else handler)
    return endpoint.sockets[0]


def _handler_for(channel: type[Channel]) -> type[SocketHandler]:
    class ChannelTestSocket(SocketHandler):
        channels = {"*": channel}  # noqa: RUF012 - a ClassVar of the base

        def connect(self, *_: object) -> Result:
            return ok()

    return ChannelTestSocket
