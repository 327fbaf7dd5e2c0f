"""A test client: its connection, and the assertions for each topic that it joined."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final
from unittest.mock import ANY

from phoenix_compat.endpoint import MountedSocket
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.protocol.message import (
    PHX_CLOSE,
    PHX_ERROR,
    PHX_JOIN,
    PHX_LEAVE,
    Payload,
    Ref,
)
from phoenix_compat.socket import RunningChannel, Socket
from phoenix_compat.testing.inbox import Inbox, Seconds
from phoenix_compat.testing.transport import Connection, Environment

TRANSPORT: Final = "channel_test"
"""The value of `socket.transport` in tests, as in Phoenix."""

NO_FIELDS: Final[Payload] = {}
"""The default payload."""


class JoinRefusedError(PhoenixCompatError):
    """The reply to a join has status "error", from `join` or from the server ("join crashed").

    Attributes:
        response: the response in the reply.
    """

    def __init__(self, topic: str, response: Payload) -> None:
        super().__init__(f"the join of {topic!r} was refused: {response!r}")
        self.response = response


class ConnectedSocket(Socket):
    """A client's connection, with the id and the assigns that its channels start with."""

    def __init__(
        self,
        environment: Environment,
        mounted: MountedSocket,
        id: str | None,
        assigns: dict[str, Any],
    ) -> None:
        super().__init__(environment.endpoint, mounted.handler, TRANSPORT)
        self.id = id
        self.assigns = assigns
        self._environment = environment
        self._connection = Connection(environment, mounted, self)
        self._refs = map(str, itertools.count(1))
        self._join_refs = map(str, itertools.count(11))  # to tell them apart from refs
        self._channel_sockets: dict[Ref, Socket] = {}

    @property
    def close_code(self) -> int | None:
        """The close code of the connection; None while it is open."""
        return self._connection.close_code

    async def join(self, topic: str, payload: Payload = NO_FIELDS) -> ChannelClient:
        """Join a topic over this connection; see ChannelTest.join."""
        join_ref = next(self._join_refs)
        inbox = self._connection.inboxes[topic, join_ref] = Inbox(topic, self._environment.timeouts)
        ref = await self.send(join_ref, topic, PHX_JOIN, payload)
        limit_s = self._environment.endpoint.limits.join_timeout_s + 1.0
        reply = await inbox.expect("reply", ref, ANY, payload=ANY, timeout_s=limit_s)
        if reply.label != ("reply", ref, "ok"):
            raise JoinRefusedError(topic, reply.payload)
        return ChannelClient(self, self._channel_sockets[join_ref], inbox, reply.payload)

    async def send(self, join_ref: Ref, topic: str, event: str, payload: Payload) -> Ref:
        """Send a message as the client; return its ref."""
        ref = next(self._refs)
        await self._connection.send_message(join_ref, ref, topic, event, payload)
        return ref

    async def close(self) -> None:
        """Disconnect as a client does: `terminate` gets ("shutdown", "closed")."""
        await self._connection.disconnect()

    def for_channel(
        self,
        channel: RunningChannel,
        topic: str,
        join_ref: Ref,
        assigns: Mapping[str, Any] | None,
    ) -> Socket:
        """See Socket. The channel's socket is also stored for the test."""
        socket = super().for_channel(channel, topic, join_ref, assigns)
        self._channel_sockets[join_ref] = socket
        return socket


class ChannelClient:
    """A client on a topic that it joined.

    An assertion matches the first message that no earlier assertion has matched, and returns its
    payload. An AssertionError lists all received messages.

    Attributes:
        connection: the client's connection.
        socket: the channel's own socket: its `assigns`, and `send_self` to reach `handle_info`.
        response: the response in the reply to the join.
    """

    def __init__(
        self, connection: ConnectedSocket, socket: Socket, inbox: Inbox, response: Payload
    ) -> None:
        self.connection = connection
        self.socket = socket
        self.response = response
        self._inbox = inbox

    async def push(self, event: str, payload: Payload = NO_FIELDS) -> Ref:
        """Send an event to the channel; return the message's ref, for `assert_reply`.

        The payload is sent as JSON, or as a binary message if it is `bytes`.
        """
        return await self.connection.send(self.socket.join_ref, self.socket.topic, event, payload)

    async def leave(self) -> Ref:
        """Leave the topic; return the message's ref, for `assert_reply`."""
        return await self.push(PHX_LEAVE)

    async def close(self) -> None:
        """Disconnect as a client does; this ends all channels of the connection."""
        await self.connection.close()

    async def assert_push(
        self, event: str, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> Any:
        """Assert that the client gets this event, by a push or a broadcast; return its payload."""
        return (
            await self._inbox.expect("push", event, payload=payload, timeout_s=timeout_s)
        ).payload

    async def refute_push(
        self, event: str = ANY, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> None:
        """Assert that the client does not get this event; without an event, that it gets none."""
        await self._inbox.refute("push", event, payload=payload, timeout_s=timeout_s)

    async def assert_reply(
        self, ref: Ref, status: str, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> Any:
        """Assert that the message with this ref gets this reply; return its response."""
        label = ("reply", ref, status)
        return (await self._inbox.expect(*label, payload=payload, timeout_s=timeout_s)).payload

    async def refute_reply(
        self, ref: Ref, status: str = ANY, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> None:
        """Assert that the message does not get this reply; without a status, that it gets none."""
        await self._inbox.refute("reply", ref, status, payload=payload, timeout_s=timeout_s)

    async def assert_closed(self, *, timeout_s: Seconds = None) -> None:
        """Assert that the channel ends gracefully, by `stop()` or a leave, with `phx_close`."""
        await self.assert_push(PHX_CLOSE, timeout_s=timeout_s)

    async def assert_crashed(self, *, timeout_s: Seconds = None) -> None:
        """Assert that the channel crashes, with `phx_error`."""
        await self.assert_push(PHX_ERROR, timeout_s=timeout_s)
