"""Clients without a network: a socket server, its outbox, and a list for a wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from phoenix_compat import (
    Channel,
    Counters,
    HandleResult,
    Limits,
    PubSub,
    Result,
    Socket,
    SocketHandler,
    Stop,
    ok,
    on,
    stop,
)
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.protocol.message import Broadcast, Payload
from phoenix_compat.protocol.serializer import V2, Serializer
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.result import DONE, Done, Reason
from phoenix_compat.runtime.outbox import Outbox
from phoenix_compat.runtime.socket_server import Route, SocketServer
from phoenix_compat.runtime.spawner import Spawner
from phoenix_compat.runtime.tick import Tick
from phoenix_compat.runtime.wire import WebSocketWire

T = TypeVar("T")


class ListSink:
    """A connection, as an outbox sees it.

    Attributes:
        writes: what was written, one entry for each write.
        free_bytes: what its socket has room for; None for any number.
        is_notify_requested: whether the outbox asked to be told of room.
        error: what writing raises, if not None.
        overflows: how often it was told that the client is too slow.
        breaks: what it was told of a socket that cannot be written to.
    """

    def __init__(self, on_overflow: Callable[[], None] = lambda: None) -> None:
        self.writes: list[bytes] = []
        self.free_bytes: int | None = None
        self.is_notify_requested = False
        self.error: OSError | None = None
        self.overflows = 0
        self.breaks: list[OSError] = []
        self._on_overflow = on_overflow

    def send(self, data: bytes) -> int:
        """Take what there is room for, as a socket does."""
        if self.error is not None:
            raise self.error
        if self.free_bytes is None:
            self.writes.append(data)
            return len(data)
        if not self.free_bytes:
            raise BlockingIOError
        taken = data[: self.free_bytes]
        self.free_bytes -= len(taken)
        self.writes.append(taken)
        return len(taken)

    def write_final(self, data: bytes) -> None:
        """Take the last words."""
        self.writes.append(data)

    def notify_when_writable(self) -> None:
        """Note it."""
        self.is_notify_requested = True

    def overflowed(self) -> None:
        """Note it."""
        self.overflows += 1
        self._on_overflow()

    def broken(self, error: OSError) -> None:
        """Note it."""
        self.breaks.append(error)


class ManualTick(Tick):
    """A tick that ends when the test says so."""

    __slots__ = ()

    def _schedule(self) -> None:
        self._is_scheduled = True

    @property
    def is_scheduled(self) -> bool:
        """Whether something waits for the end of the tick."""
        return self._is_scheduled


class Engine:
    """What the clients of one scene share; also the endpoint that channels see."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.pubsub = PubSub()
        self.limits = limits or Limits()
        self.counters = Counters()
        self.spawner = Spawner()
        self.tick = ManualTick()
        self._wires: dict[Serializer, WebSocketWire] = {}

    def wire(self, serializer: Serializer) -> WebSocketWire:
        """One wire for each serializer."""
        wire = WebSocketWire(serializer, self.tick, self.limits, self.counters)
        return self._wires.setdefault(serializer, wire)

    def broadcast(self, topic: str, event: str, payload: Payload) -> Done:
        """See Endpoint."""
        self.pubsub.broadcast(topic, event, payload)
        return DONE

    local_broadcast = broadcast

    def subscribe(self, topic: str, subscriber: Callable[[Broadcast], None]) -> None:
        """See Endpoint."""
        self.pubsub.subscribe(topic, subscriber)

    def unsubscribe(self, topic: str, subscriber: Callable[[Broadcast], None]) -> None:
        """See Endpoint."""
        self.pubsub.unsubscribe(topic, subscriber)


def routes_of(channels: Mapping[str, Any]) -> TopicRoutes[Route]:
    """A table of channels, each alone or with the assigns of its route."""
    pairs = {
        pattern: target if isinstance(target, tuple) else (target, None)
        for pattern, target in channels.items()
    }
    return TopicRoutes(pairs.items())


class Client:
    """One client, and the connection that its socket server believes in.

    While a join blocks the connection, what the client says waits, as in a transport.

    Attributes:
        closes: the code and the reason of each time the server closed the connection.
    """

    def __init__(
        self,
        engine: Engine,
        channels: Mapping[str, Any],
        *,
        serializer: Serializer = V2,
        id: str | None = None,
    ) -> None:
        self.closes: list[tuple[int, Reason]] = []
        self.sink = ListSink(self._overflowed)
        self.engine = engine
        self._held_frames: list[tuple[bytes, bool]] = []
        self._read = 0
        outbox = Outbox(engine.wire(serializer), self.sink)
        socket = Socket(engine, SocketHandler)
        socket.id = id
        self.server = SocketServer(engine, routes_of(channels), socket, outbox, self)

    # What the client does.

    async def send(self, *message: Any) -> None:
        """Send `join_ref, ref, topic, event, payload` as a V2 array."""
        await self.send_bytes(json.dumps(message).encode())

    async def send_bytes(self, data: bytes, *, is_binary: bool = False) -> None:
        """Send a frame."""
        await call_in_loop(self.take, data, is_binary)

    def take(self, data: bytes, is_binary: bool) -> None:
        """What a transport does with a frame."""
        if self.server.is_blocked:
            self._held_frames.append((data, is_binary))
        elif not self.closes:
            self.server.receive(data, is_binary=is_binary)

    async def join(self, topic: str, join_ref: str = "1") -> None:
        """Join a topic whose join does not wait; the next frame must say ok."""
        await self.send(join_ref, join_ref, topic, "phx_join", {})
        assert self.received() == [replied(join_ref, join_ref, topic)]

    async def disconnect(self) -> None:
        """The client is gone."""
        await call_in_loop(self.server.closed, ("shutdown", "closed"))

    def received(self) -> list[Any]:
        """What came since the last look: JSON of text frames, bytes of binary ones."""
        self.engine.tick.flush()
        data = b"".join(self.sink.writes)[self._read :]
        self._read += len(data)
        heard = []
        while data:
            opcode, payload, data = _next_frame(data)
            heard.append(json.loads(payload) if opcode == 0x1 else payload)
        return heard

    # What the socket server does: socket_server.Connection.

    def close(self, code: int, reason: Reason) -> None:
        """Note it, and end the socket server."""
        self.closes.append((code, reason))
        self.server.closed(reason)

    def unblocked(self) -> None:
        """Hand on what the client said meanwhile."""
        while self._held_frames and not self.server.is_blocked and not self.closes:
            data, is_binary = self._held_frames.pop(0)
            self.server.receive(data, is_binary=is_binary)

    def _overflowed(self) -> None:
        self.closes.append((1013, "slow"))


def _next_frame(data: bytes) -> tuple[int, bytes, bytes]:
    """Opcode and payload of an unmasked frame, and what follows it."""
    opcode, marker = data[0] & 0x0F, data[1]
    size = {126: 2, 127: 8}.get(marker, 0)
    length = int.from_bytes(data[2 : 2 + size]) if size else marker
    start = 2 + size
    return opcode, data[start : start + length], data[start + length :]


async def call_in_loop(function: Callable[..., T], *args: Any) -> T:
    """Call a function outside of every task, as the loop calls transports."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def call() -> None:
        try:
            done.set_result(function(*args))
        except (PhoenixCompatError, RuntimeError) as error:
            done.set_exception(error)

    loop.call_soon(call)
    return await done


async def settle() -> None:
    """Let the loop run everything that is ready, and what that makes ready."""
    for _ in range(12):
        await asyncio.sleep(0)


# What a server says, as V2 arrays.


def replied(
    join_ref: Any, ref: Any, topic: Any, response: Any = None, status: str = "ok"
) -> list[Any]:
    """A reply, with the response `{}` unless given."""
    body = {"response": {} if response is None else response, "status": status}
    return [join_ref, ref, topic, "phx_reply", body]


def refused(join_ref: Any, ref: Any, topic: Any, reason: str) -> list[Any]:
    """An error reply with a reason."""
    return replied(join_ref, ref, topic, {"reason": reason}, "error")


def closed(join_ref: Any, topic: str) -> list[Any]:
    """The notice of a graceful end."""
    return [join_ref, join_ref, topic, "phx_close", {}]


def crashed(join_ref: Any, topic: str) -> list[Any]:
    """The notice of any other end."""
    return [join_ref, join_ref, topic, "phx_error", {"reason": "channel_crash"}]


class Latches:
    """Where callbacks wait until the test lets them go on, by name."""

    def __init__(self) -> None:
        self._futures: dict[Any, asyncio.Future[Any]] = {}

    def at(self, name: Any) -> asyncio.Future[Any]:
        """The gate of that name."""
        return self._futures.setdefault(name, asyncio.get_running_loop().create_future())

    async def open(self, name: Any, result: Any = None) -> None:
        """Let through who waits there, as far as they get; nobody may be there any more."""
        if not self.at(name).done():
            self.at(name).set_result(result)
        await settle()


def with_assigns(channel: type[Channel], **assigns: Any) -> tuple[type[Channel], dict[str, Any]]:
    """A route whose channels find these assigns: a event_log or latches, for example."""
    return channel, assigns


class OpenChannel(Channel):
    """Lets everyone in; tests subclass it."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Let everyone in."""
        del topic, payload, socket
        return ok()


class WaitingChannel(OpenChannel):
    """Waits at the gate that the payload names; `latches` is an assign of its route."""

    async def handle_in(self, event: str, payload: Any, socket: Socket) -> HandleResult:
        """Answer with the event and what came through the gate."""
        return ok([event, await socket.assigns["latches"].at(payload)])

    @on("quick")
    def quick(self, payload: Any, socket: Socket) -> HandleResult:
        """Answer without waiting."""
        del payload
        return ok(["quick", socket.ref])


class TalkingChannel(OpenChannel):
    """Sends itself messages and pushes what it gets."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Do what the payload says."""
        for message in payload.get("send_self", ()):
            socket.send_self(message)
        for other in payload.get("subscribe", ()):
            socket.subscribe(other)
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> Stop | None:
        """Push it."""
        if isinstance(message, Broadcast):
            message = [message.topic, message.event, message.payload]
        socket.push("info", {"got": message})
        return stop() if message == "stop" else None

    @on("unsubscribe")
    def unsubscribe(self, payload: Any, socket: Socket) -> HandleResult:
        """Hear a topic no longer."""
        socket.unsubscribe(payload)
        return ok()

    @on("send_self")
    def send_to_self(self, payload: Any, socket: Socket) -> HandleResult:
        """Send itself messages."""
        for message in payload:
            socket.send_self(message)
        return ok()
