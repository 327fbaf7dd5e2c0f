"""Phoenix.ChannelTest for Python: real sockets and channels, and no network.

    async def test_new_msg_reaches_the_room() -> None:
        async with ChannelTest() as channels:
            socket = await channels.connect(UserSocket, {"token": "x"})
            client = await channels.subscribe_and_join(socket, "room:lobby")

            ref = await client.push("new_msg", {"body": "hi"})

            await client.assert_reply(ref, "ok")
            await channels.assert_broadcast("room:lobby", "new_msg", including(body="hi"))

What a client sends is written and read as V2, as in production. What comes back is encoded as V2
too, so that a payload that cannot be encoded fails here as it would there; but tests see the values
and not the bytes. When `push` returns, its handler has run as far as it does not wait.

Payloads are compared with `==`, or given to a predicate; when none is given any will do. `ANY` of
`unittest.mock` fits any value inside of one.

Differs from Phoenix: joins of one socket share its connection, so a second join of a topic ends the
first, as a real client would see; Phoenix.ChannelTest starts a channel for each.

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
from phoenix_compat.result import Done, Result
from phoenix_compat.socket import ConnectInfo, SocketHandler
from phoenix_compat.testing.client import (
    NO_FIELDS,
    TRANSPORT,
    ChannelClient,
    ConnectedSocket,
    JoinRefusedError,
)
from phoenix_compat.testing.inbox import Inbox, Seconds, Timeouts, including
from phoenix_compat.testing.transport import Recorder, Stage

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
        reason: what it gave; `{}` for a bare `error()`.
    """

    def __init__(self, reason: Any) -> None:
        super().__init__(f"connect was refused: {reason!r}")
        self.reason = reason


class ChannelTest:
    """Connects clients to an endpoint, and hears its topics. Leaving it hangs all of them up.

    Args:
        endpoint: yours, when the code under test broadcasts to it; else a new one.
        assert_timeout_s: how long assertions wait for what does not come.
        refute_timeout_s: how long refutations wait.
    """

    def __init__(
        self,
        endpoint: Endpoint | None = None,
        *,
        assert_timeout_s: float = 0.1,
        refute_timeout_s: float = 0.02,
    ) -> None:
        self.endpoint = endpoint or Endpoint()
        self._stage = Stage(self.endpoint, Recorder(), Timeouts(assert_timeout_s, refute_timeout_s))
        self._sockets: list[ConnectedSocket] = []
        self._heard: dict[str, Inbox] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up. Callbacks that still wait after `assert_timeout_s` are cancelled."""
        for socket in self._sockets:
            await socket.close()
        for topic, inbox in self._heard.items():
            self.endpoint.unsubscribe(topic, inbox.hear)
        await self.endpoint.spawner.wait(self._stage.timeouts.assert_s)

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
        """A client that is connected already: `connect` is not called.

        Args:
            handler: a socket, or a channel that then serves every topic.
            id: what the socket's `id` would give.
            assigns: what `connect` would assign.
        """
        return self._connected(_mounted(handler), id, dict(assigns or {}))

    async def join(
        self, socket: ConnectedSocket | type[Channel], topic: str, payload: Payload = NO_FIELDS
    ) -> ChannelClient:
        """Join a topic; with a channel class, from a new socket that is served by it alone.

        Raises:
            JoinRefusedError: the answer has status "error".
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
        """Hear a topic from now on, for `assert_broadcast`."""
        if topic not in self._heard:
            inbox = self._heard[topic] = Inbox(topic, self._stage.timeouts)
            self.endpoint.subscribe(topic, inbox.hear)

    def broadcast_from(self, topic: str, event: str, payload: Payload) -> Done:
        """Broadcast to all but this test: `assert_broadcast` does not see it."""
        return self.endpoint.broadcast_from(self._inbox(topic).hear, topic, event, payload)

    async def assert_broadcast(
        self, topic: str, event: str, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> Any:
        """The event is broadcast on a topic that was subscribed to; returns its payload."""
        what = ("broadcast", event)
        found = await self._inbox(topic).expect(*what, payload=payload, timeout_s=timeout_s)
        return found.payload

    async def refute_broadcast(
        self, topic: str, event: str = ANY, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> None:
        """The event is not broadcast; without one, nothing is."""
        what = ("broadcast", event)
        await self._inbox(topic).refute(*what, payload=payload, timeout_s=timeout_s)

    def _inbox(self, topic: str) -> Inbox:
        if topic not in self._heard:
            raise AssertionError(f"not subscribed: call subscribe({topic!r}) or subscribe_and_join")
        return self._heard[topic]

    def _connected(
        self, mounted: MountedSocket, id: str | None, assigns: dict[str, Any]
    ) -> ConnectedSocket:
        socket = ConnectedSocket(self._stage, mounted, id, assigns)
        self._sockets.append(socket)
        return socket


def _mounted(handler: type[SocketHandler | Channel]) -> MountedSocket:
    """The handler with its routes, checked as when it is mounted."""
    endpoint = Endpoint()
    endpoint.socket("/socket", _serving(handler) if issubclass(handler, Channel) else handler)
    return endpoint.sockets[0]


def _serving(channel: type[Channel]) -> type[SocketHandler]:
    class ChannelTestSocket(SocketHandler):
        channels = {"*": channel}  # noqa: RUF012 - a ClassVar of the base

    return ChannelTestSocket
