"""A client under test: its connection, and what it has on each topic."""

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
from phoenix_compat.socket import Port, Socket
from phoenix_compat.testing.inbox import Inbox, Seconds
from phoenix_compat.testing.transport import Connection, Stage

TRANSPORT: Final = "channel_test"
"""What `socket.transport` says in tests, as in Phoenix."""

NO_FIELDS: Final[Payload] = {}
"""The payload of messages that were given none."""


class JoinRefusedError(PhoenixCompatError):
    """A join was answered with status "error", by `join` or by the server ("join crashed").

    Attributes:
        response: what the client got with it.
    """

    def __init__(self, topic: str, response: Payload) -> None:
        super().__init__(f"the join of {topic!r} was refused: {response!r}")
        self.response = response


class ConnectedSocket(Socket):
    """A client's connection, with the id and the assigns that its channels begin with."""

    def __init__(
        self, stage: Stage, mounted: MountedSocket, id: str | None, assigns: dict[str, Any]
    ) -> None:
        super().__init__(stage.endpoint, mounted.handler, TRANSPORT)
        self.id = id
        self.assigns = assigns
        self._stage = stage
        self._connection = Connection(stage, mounted, self)
        self._refs = map(str, itertools.count(1))
        self._join_refs = map(str, itertools.count(11))  # so that no ref is taken for a join_ref
        self._made: dict[Ref, Socket] = {}

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed; None while it is open."""
        return self._connection.close_code

    async def join(self, topic: str, payload: Payload = NO_FIELDS) -> ChannelClient:
        """Join a topic over this connection; see ChannelTest.join."""
        join_ref = next(self._join_refs)
        inbox = self._connection.inboxes[topic, join_ref] = Inbox(topic, self._stage.timeouts)
        ref = await self.send(join_ref, topic, PHX_JOIN, payload)
        limit_s = self._stage.endpoint.limits.join_timeout_s + 1.0
        reply = await inbox.expect("reply", ref, ANY, payload=ANY, timeout_s=limit_s)
        if reply.what != ("reply", ref, "ok"):
            raise JoinRefusedError(topic, reply.payload)
        return ChannelClient(self, self._made[join_ref], inbox, reply.payload)

    async def send(self, join_ref: Ref, topic: str, event: str, payload: Payload) -> Ref:
        """Send a message of the client; returns its ref."""
        ref = next(self._refs)
        await self._connection.say(join_ref, ref, topic, event, payload)
        return ref

    async def close(self) -> None:
        """Go away, as a client does: `terminate` gets ("shutdown", "closed")."""
        await self._connection.hang_up()

    def for_channel(
        self, port: Port, topic: str, join_ref: Ref, assigns: Mapping[str, Any] | None
    ) -> Socket:
        """See Socket. What is made is kept for the test to look at."""
        made = self._made[join_ref] = super().for_channel(port, topic, join_ref, assigns)
        return made


class ChannelClient:
    """A client on a topic that it joined.

    An assertion is satisfied by the first arrival that satisfied none before, and returns its
    payload. AssertionError lists all that came.

    Attributes:
        connection: the client's connection.
        socket: the channel's own socket: its `assigns`, and `send_self` to reach `handle_info`.
        response: what the join was answered with.
    """

    def __init__(
        self, connection: ConnectedSocket, socket: Socket, inbox: Inbox, response: Payload
    ) -> None:
        self.connection = connection
        self.socket = socket
        self.response = response
        self._inbox = inbox

    async def push(self, event: str, payload: Payload = NO_FIELDS) -> Ref:
        """Send an event to the channel; returns the message's ref, for `assert_reply`.

        The payload goes through JSON, or as a binary message when it is `bytes`.
        """
        return await self.connection.send(self.socket.join_ref, self.socket.topic, event, payload)

    async def leave(self) -> Ref:
        """Leave the topic; returns the message's ref, for `assert_reply`."""
        return await self.push(PHX_LEAVE)

    async def close(self) -> None:
        """Go away, as a client does; ends what else its connection has joined, too."""
        await self.connection.close()

    async def assert_push(
        self, event: str, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> Any:
        """The client gets this event: pushed to it, or broadcast to its topic."""
        return (
            await self._inbox.expect("push", event, payload=payload, timeout_s=timeout_s)
        ).payload

    async def refute_push(
        self, event: str = ANY, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> None:
        """The client does not get this event; without one, it gets none at all."""
        await self._inbox.refute("push", event, payload=payload, timeout_s=timeout_s)

    async def assert_reply(
        self, ref: Ref, status: str, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> Any:
        """The message with this ref is answered so."""
        what = ("reply", ref, status)
        return (await self._inbox.expect(*what, payload=payload, timeout_s=timeout_s)).payload

    async def refute_reply(
        self, ref: Ref, status: str = ANY, payload: Payload = ANY, *, timeout_s: Seconds = None
    ) -> None:
        """The message with this ref is not answered so; without a status, it is not answered."""
        await self._inbox.refute("reply", ref, status, payload=payload, timeout_s=timeout_s)

    async def assert_closed(self, *, timeout_s: Seconds = None) -> None:
        """The channel ends gracefully, by `stop()` or a leave: the client hears `phx_close`."""
        await self.assert_push(PHX_CLOSE, timeout_s=timeout_s)

    async def assert_crashed(self, *, timeout_s: Seconds = None) -> None:
        """The channel ends by an error: the client hears `phx_error`."""
        await self.assert_push(PHX_ERROR, timeout_s=timeout_s)
