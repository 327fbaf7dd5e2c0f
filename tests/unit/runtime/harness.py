"""Clients without a network: a socket server, its outbox, and a list of writes."""

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
from phoenix_compat.redaction import CREDENTIAL_WORDS
from phoenix_compat.result import DONE, Done, Reason
from phoenix_compat.runtime.reporting.invalid_payloads import InvalidPayloads
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.runtime.sending.wire import WebSocketWire
from phoenix_compat.runtime.socket_server import Route, SocketServer
from phoenix_compat.runtime.spawner import Spawner

T = TypeVar("T")


class ListSink:
    """A connection for an outbox, which records the writes."""

    def __init__(self, on_overflow: Callable[[], None] = lambda: None) -> None:
        self.writes: list[bytes] = []
        self.free_bytes: int | None = None
        self.is_notify_requested = False
        self.error: OSError | None = None
        self.overflows = 0
        self.breaks: list[OSError] = []
        self._on_overflow = on_overflow

    def send(self, data: bytes) -> int:
        """Write as much as fits, like a socket."""
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
        """Record the last bytes."""
        self.writes.append(data)

    def notify_when_writable(self) -> None:
        """Record the request."""
        self.is_notify_requested = True

    def overflowed(self) -> None:
        """Count the overflow."""
        self.overflows += 1
        self._on_overflow()

    def broken(self, error: OSError) -> None:
        """Record the error."""
        self.breaks.append(error)


class ManualTick(Tick):
    """A tick that ends only when the test flushes it."""

    __slots__ = ()

    def _schedule(self) -> None:
        self._is_scheduled = True

    @property
    def is_scheduled(self) -> bool:
        """Whether a flush is scheduled."""
        return self._is_scheduled


class Engine:
    """What the clients of one test share; also the endpoint for channels."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.pubsub = PubSub()
        self.limits = limits or Limits()
        self.credential_words = CREDENTIAL_WORDS
        self.counters = Counters()
        self.invalid_payloads = InvalidPayloads(self.counters)
        self.spawner = Spawner()
        self.tick = ManualTick()
        self._wires: dict[Serializer, WebSocketWire] = {}

    def wire(self, serializer: Serializer) -> WebSocketWire:
        """The shared wire of a serializer."""
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
    """A table of channel classes, each with or without the assigns of its route."""
    pairs = {
        pattern: target if isinstance(target, tuple) else (target, None)
        for pattern, target in channels.items()
    }
    return TopicRoutes(pairs.items())


class Client:
    """A client, and the connection of its socket server."""

    def __init__(
        self,
        engine: Engine,
        channels: Mapping[str, Any],
        *,
        serializer: Serializer = V2,
        id: str | None = None,
        connection_topics: tuple[str, ...] = (),
    ) -> None:
        self.closes: list[tuple[int, Reason]] = []
        self.sink = ListSink(self._overflowed)
        self.engine = engine
        self._held_frames: list[tuple[bytes, bool]] = []
        self._read = 0
        outbox = Outbox(engine.wire(serializer), self.sink)
        socket = Socket(engine, SocketHandler)
        socket.id = id
        socket.connection_topics = connection_topics
        self.server = SocketServer(engine, routes_of(channels), socket, outbox, self)

    # What the client does.

    async def send(self, *message: Any) -> None:
        """Send `join_ref, ref, topic, event, payload` as a V2 array."""
        await self.send_bytes(json.dumps(message).encode())

    async def send_bytes(self, data: bytes, *, is_binary: bool = False) -> None:
        """Send a frame."""
        await call_in_loop(self.take, data, is_binary)

    def take(self, data: bytes, is_binary: bool) -> None:
        """Handle a frame as a transport does."""
        if self.server.is_blocked:
            self._held_frames.append((data, is_binary))
        elif not self.closes:
            self.server.receive(data, is_binary=is_binary)

    async def join(self, topic: str, join_ref: str = "1") -> None:
        """Join a topic whose join does not wait; the next frame must be the ok reply."""
        await self.send(join_ref, join_ref, topic, "phx_join", {})
        assert self.received() == [replied(join_ref, join_ref, topic)]

    async def disconnect(self) -> None:
        """Disconnect the client."""
        await call_in_loop(self.server.closed, ("shutdown", "closed"))

    def received(self) -> list[Any]:
        """The frames since the last call: JSON of text frames, bytes of binary ones."""
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
        """Record the close, and end the socket server."""
        self.closes.append((code, reason))
        self.server.closed(reason)

    def unblocked(self) -> None:
        """Pass on the frames that were held back."""
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
    """Call a function outside of any task, as the event loop calls transports."""
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
    """Let the event loop run everything that is ready, repeatedly."""
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
    """The message for a graceful end."""
    return [join_ref, join_ref, topic, "phx_close", {}]


def crashed(join_ref: Any, topic: str) -> list[Any]:
    """The message for a crash."""
    return [join_ref, join_ref, topic, "phx_error", {"reason": "channel_crash"}]


class Latches:
    """Named futures at which callbacks wait until the test opens them."""

    def __init__(self) -> None:
        self._futures: dict[Any, asyncio.Future[Any]] = {}

    def at(self, name: Any) -> asyncio.Future[Any]:
        """The latch with this name."""
        return self._futures.setdefault(name, asyncio.get_running_loop().create_future())

    async def open(self, name: Any, result: Any = None) -> None:
        """Open a latch, and let the callbacks run."""
        if not self.at(name).done():
            self.at(name).set_result(result)
        await settle()


def with_assigns(channel: type[Channel], **assigns: Any) -> tuple[type[Channel], dict[str, Any]]:
    """A route with assigns, for example an event log or latches."""
    return channel, assigns


class OpenChannel(Channel):
    """Accepts everyone; tests subclass it."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Let everyone in."""
        del topic, payload, socket
        return ok()


class WaitingChannel(OpenChannel):
    """Waits at the latch that the payload names; `latches` is an assign of its route."""

    async def handle_in(self, event: str, payload: Any, socket: Socket) -> HandleResult:
        """Reply with the event and the result of the latch."""
        return ok([event, await socket.assigns["latches"].at(payload)])

    @on("quick")
    def quick(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply without waiting."""
        del payload
        return ok(["quick", socket.ref])


class TalkingChannel(OpenChannel):
    """Sends itself messages and pushes what it receives."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Do what the payload says."""
        for message in payload.get("send_self", ()):
            socket.send_self(message)
        for other in payload.get("subscribe", ()):
            socket.subscribe(other)
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> Stop | None:
        """Push the message."""
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
        """Send itself the messages of the payload."""
        for message in payload:
            socket.send_self(message)
        return ok()
