"""A transport without a network: takes V2 frames and records what is sent as values."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any, Final, NamedTuple

from phoenix_compat.endpoint import Endpoint, MountedSocket
from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.frame import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_NORMAL,
    CLOSE_SERVICE_RESTART,
)
from phoenix_compat.protocol.message import Broadcast, Frame, Message, Payload, Ref
from phoenix_compat.protocol.serializer import V2
from phoenix_compat.result import Reason
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.sending.wire import ByteWire
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.socket import Socket
from phoenix_compat.testing.inbox import Inbox, RecordedMessage, Timeouts

_INDEX_BYTES: Final = 8
_BINARY_PUSH: Final = 0


class Recorder:
    """Serializer V2, except that its frames hold the index of a recorded message.

    All indexes have the same size, because an outbox concatenates frames.
    """

    name = "ChannelTest"
    decode = staticmethod(V2.decode)

    def __init__(self) -> None:
        self._messages: list[tuple[str, Ref, RecordedMessage]] = []

    def encode(self, message: Message) -> Frame:
        """See Serializer."""
        V2.encode(message)
        label = ("push", message.event)
        return self._record(message.topic, message.join_ref, label, message.payload)

    def encode_reply(
        self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload
    ) -> Frame:
        """See Serializer."""
        V2.encode_reply(join_ref, ref, topic, status, response)
        return self._record(topic, join_ref, ("reply", ref, status), response)

    def fastlane(self, broadcast: Broadcast) -> Frame:
        """See Serializer. For a client it is a push, as in Phoenix."""
        V2.fastlane(broadcast)
        return self._record(broadcast.topic, None, ("push", broadcast.event), broadcast.payload)

    def _record(self, topic: str, join_ref: Ref, label: tuple[Any, ...], payload: Payload) -> Frame:
        # A copy, because the channel may modify the payload after sending it.
        if type(payload) is not dict and jason.is_object(payload):
            copy = jason.to_json(payload)
        else:
            copy = deepcopy(payload)
        self._messages.append((topic, join_ref, RecordedMessage(label, copy)))
        return (len(self._messages) - 1).to_bytes(_INDEX_BYTES, "big")

    def lookup(self, frames: bytes) -> Iterator[tuple[str, Ref, RecordedMessage]]:
        """The topics, join_refs and messages for these frames."""
        for start in range(0, len(frames), _INDEX_BYTES):
            yield self._messages[int.from_bytes(frames[start : start + _INDEX_BYTES], "big")]


class _IndexWire(ByteWire):
    """The indexes of a Recorder, without framing."""

    __slots__ = ()

    def pack(self, frame: Frame) -> bytes:
        return frame

    def unpack(self, packet: bytes) -> Frame | None:
        return packet


def _client_frame(*strings: str, payload: Payload) -> tuple[bytes, bool]:
    """The frame of a V2 client, and whether it is binary."""
    if not isinstance(payload, bytes):
        return jason.encode([*strings, payload]), False
    parts = [string.encode() for string in strings]
    return bytes((_BINARY_PUSH, *map(len, parts))) + b"".join(parts) + payload, True


async def _step(function: Callable[[], object]) -> None:
    """Call a function outside of any task, as transports do, so that callbacks start eagerly."""
    asyncio.get_running_loop().call_soon(function)
    await asyncio.sleep(0)  # the function is called
    await asyncio.sleep(0)  # the loop tick ends and writes the broadcasts


class Environment(NamedTuple):
    """What all clients of a test share."""

    endpoint: Endpoint
    recorder: Recorder
    timeouts: Timeouts
    connections: Connections


class Connection:
    """The transport of one client.

    Attributes:
        inboxes: the inbox of each join, by topic and join_ref.
        close_code: the close code of the connection; None while it is open.
    """

    def __init__(self, environment: Environment, mounted: MountedSocket, socket: Socket) -> None:
        endpoint = environment.endpoint
        self.inboxes: dict[tuple[str, Ref], Inbox] = {}
        self.close_code: int | None = None
        self._environment = environment
        self._held_frames: deque[tuple[bytes, bool]] = deque()
        wire = endpoint.wire(_IndexWire, environment.recorder)
        self._outbox = Outbox(wire, self)
        self._server = SocketServer(endpoint, mounted.routes, socket, self._outbox, self)
        environment.connections.add(self)

    @property
    def server(self) -> SocketServer:
        """The socket server of the client."""
        return self._server

    async def send_message(
        self, join_ref: str, ref: str, topic: str, event: str, payload: Payload
    ) -> None:
        """Send a message as the client, and let the server handle it."""
        self._environment.endpoint.open(self._environment.connections)
        frame = _client_frame(join_ref, ref, topic, event, payload=payload)
        await _step(partial(self._receive, *frame))

    async def disconnect(self) -> None:
        """Disconnect as a client does."""
        await _step(partial(self.close, CLOSE_NORMAL, ("shutdown", "closed")))

    def _receive(self, data: bytes, is_binary: bool) -> None:  # noqa: FBT001 - two halves of a frame
        if self._server.is_blocked:
            self._held_frames.append((data, is_binary))
        elif self.close_code is None:
            try:
                self._server.receive(data, is_binary=is_binary)
            except EncodeError as error:
                self.close(CLOSE_INTERNAL_ERROR, error)

    # runtime.socket_server.Connection.

    def unblocked(self) -> None:
        """See runtime.socket_server.Connection."""
        while self._held_frames and not self._server.is_blocked:
            self._receive(*self._held_frames.popleft())

    def close(self, code: int, reason: Reason) -> None:
        """See runtime.socket_server.Connection."""
        if self.close_code is None:
            self.close_code = code
            self._outbox.close(b"")
            self._server.closed(reason)
            for inbox in self.inboxes.values():
                inbox.close(f"the connection was closed with {code}: {reason!r}")

    # runtime.sending.outbox.Sink.

    def send(self, data: bytes) -> int:
        """Deliver each message to the join with its topic and join_ref, as clients do."""
        for topic, join_ref, message in self._environment.recorder.lookup(data):
            for (its_topic, its_join_ref), inbox in reversed(self.inboxes.items()):
                if topic == its_topic and join_ref in {None, its_join_ref}:
                    inbox.add(message)
                    break
        return len(data)

    def write_final(self, data: bytes) -> None:
        """See runtime.sending.outbox.Sink."""
        self.send(data)

    def notify_when_writable(self) -> None:
        """Do nothing; `send` always writes everything."""

    overflowed = notify_when_writable

    def broken(self, error: OSError) -> None:
        """Do nothing; there is no socket that could break."""

    def abandon(self) -> None:
        """End the channels; the event loop of the test is closed."""
        self.close_code = CLOSE_NORMAL
        self._server.closed(("shutdown", "closed"))


class Connections:
    """All clients of a ChannelTest, as a transport of its endpoint."""

    def __init__(self) -> None:
        self._connections: list[Connection] = []

    def __len__(self) -> int:
        """How many clients are connected."""
        return sum(connection.close_code is None for connection in self._connections)

    @property
    def clients(self) -> Iterator[SocketServer]:
        """See endpoint.Transport."""
        return (each.server for each in self._connections if each.close_code is None)

    def add(self, connection: Connection) -> None:
        """Add a client."""
        self._connections.append(connection)

    async def drain(self) -> None:
        """Close the clients because the endpoint is closed."""
        self._close(CLOSE_SERVICE_RESTART, ("shutdown", "draining"))

    def close_all(self) -> None:
        """Disconnect the clients."""
        self._close(CLOSE_NORMAL, ("shutdown", "closed"))

    def abort_all(self) -> None:
        """Do nothing; there is nothing to drop."""

    def abandon(self) -> None:
        """See endpoint.Transport."""
        for connection in self._connections:
            connection.abandon()

    def _close(self, code: int, reason: Reason) -> None:
        for connection in self._connections:
            connection.close(code, reason)
