"""A transport without a network: V2 frames in, and values out."""

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
from phoenix_compat.protocol.frame import CLOSE_INTERNAL_ERROR, CLOSE_NORMAL
from phoenix_compat.protocol.message import Broadcast, Frame, Message, Payload, Ref
from phoenix_compat.protocol.serializer import V2
from phoenix_compat.result import Reason
from phoenix_compat.runtime.outbox import Outbox
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.runtime.wire import ByteWire
from phoenix_compat.socket import Socket
from phoenix_compat.testing.inbox import Arrival, Inbox, Timeouts

_TICKET_BYTES: Final = 8
_BINARY_PUSH: Final = 0


class Recorder:
    """Serializer V2, except that its frames hold a ticket for the message instead of its bytes.

    Tickets are of one size, because an outbox joins what it writes.
    """

    name = "ChannelTest"
    decode = staticmethod(V2.decode)

    def __init__(self) -> None:
        self._kept: list[tuple[str, Ref, Arrival]] = []

    def encode(self, message: Message) -> Frame:
        """See Serializer."""
        V2.encode(message)
        what = ("push", message.event)
        return self._keep(message.topic, message.join_ref, what, message.payload)

    def encode_reply(
        self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload
    ) -> Frame:
        """See Serializer."""
        V2.encode_reply(join_ref, ref, topic, status, response)
        return self._keep(topic, join_ref, ("reply", ref, status), response)

    def fastlane(self, broadcast: Broadcast) -> Frame:
        """See Serializer. To a client it is a push, as in Phoenix."""
        V2.fastlane(broadcast)
        return self._keep(broadcast.topic, None, ("push", broadcast.event), broadcast.payload)

    def _keep(self, topic: str, join_ref: Ref, what: tuple[Any, ...], payload: Payload) -> Frame:
        # A copy, as bytes would be: the channel may change the payload after it was sent.
        self._kept.append((topic, join_ref, Arrival(what, deepcopy(payload))))
        return (len(self._kept) - 1).to_bytes(_TICKET_BYTES, "big")

    def redeem(self, tickets: bytes) -> Iterator[tuple[str, Ref, Arrival]]:
        """Topics, join_refs and messages for these tickets."""
        for start in range(0, len(tickets), _TICKET_BYTES):
            yield self._kept[int.from_bytes(tickets[start : start + _TICKET_BYTES], "big")]


class _TicketWire(ByteWire):
    """Tickets, without framing."""

    __slots__ = ()

    def pack(self, frame: Frame) -> bytes:
        return frame


def _client_frame(*strings: str, payload: Payload) -> tuple[bytes, bool]:
    """What a V2 client writes, and whether it is binary."""
    if not isinstance(payload, bytes):
        return jason.encode([*strings, payload]), False
    parts = [string.encode() for string in strings]
    return bytes((_BINARY_PUSH, *map(len, parts))) + b"".join(parts) + payload, True


async def _step(function: Callable[[], object]) -> None:
    """Call a function as transports do, outside of any task: then callbacks start in place."""
    asyncio.get_running_loop().call_soon(function)
    await asyncio.sleep(0)  # it was called
    await asyncio.sleep(0)  # its loop tick ended, so that its broadcasts were written


class Stage(NamedTuple):
    """What all clients of a test share."""

    endpoint: Endpoint
    recorder: Recorder
    timeouts: Timeouts


class Connection:
    """The transport of one client.

    Attributes:
        inboxes: where the messages of each join go, by topic and join_ref.
        close_code: the code with which the connection was closed; None while it is open.
    """

    def __init__(self, stage: Stage, mounted: MountedSocket, socket: Socket) -> None:
        endpoint = stage.endpoint
        self.inboxes: dict[tuple[str, Ref], Inbox] = {}
        self.close_code: int | None = None
        self._recorder = stage.recorder
        self._held: deque[tuple[bytes, bool]] = deque()
        wire = endpoint.wire(_TicketWire, stage.recorder)
        self._outbox = Outbox(wire, self)
        self._server = SocketServer(endpoint, mounted.routes, socket, self._outbox, self)

    async def say(self, join_ref: str, ref: str, topic: str, event: str, payload: Payload) -> None:
        """Send a message of the client; the server has taken it when this returns."""
        frame = _client_frame(join_ref, ref, topic, event, payload=payload)
        await _step(partial(self._receive, *frame))

    async def hang_up(self) -> None:
        """Go away, as a client does."""
        await _step(partial(self.close, CLOSE_NORMAL, ("shutdown", "closed")))

    def _receive(self, data: bytes, is_binary: bool) -> None:  # noqa: FBT001 - two halves of a frame
        if self._server.is_blocked:
            self._held.append((data, is_binary))
        elif self.close_code is None:
            try:
                self._server.receive(data, is_binary=is_binary)
            except EncodeError as error:
                self.close(CLOSE_INTERNAL_ERROR, error)

    # What a socket server asks of its transport.

    def unblocked(self) -> None:
        """See runtime.socket_server.Connection."""
        while self._held and not self._server.is_blocked:
            self._receive(*self._held.popleft())

    def close(self, code: int, reason: Reason) -> None:
        """See runtime.socket_server.Connection."""
        if self.close_code is None:
            self.close_code = code
            self._outbox.close(b"")
            self._server.closed(reason)
            for inbox in self.inboxes.values():
                inbox.close(f"the connection was closed with {code}: {reason!r}")

    # What an outbox writes to.

    def send(self, data: bytes) -> int:
        """See runtime.outbox.Sink."""
        self.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        """See runtime.outbox.Sink. As clients do, each join takes what has its join_ref."""
        for topic, join_ref, arrival in self._recorder.redeem(data):
            for (its_topic, its_join_ref), inbox in reversed(self.inboxes.items()):
                if topic == its_topic and join_ref in {None, its_join_ref}:
                    inbox.add(arrival)
                    break

    def want_room(self) -> None:
        """See runtime.outbox.Sink. There is always room."""

    overflowed = want_room

    def broken(self, error: OSError) -> None:
        """See runtime.outbox.Sink. Nothing that can break."""
