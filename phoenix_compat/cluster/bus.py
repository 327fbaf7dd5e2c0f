"""Sends messages between the processes of one server, and detects lost ones.

Each process is a node. It listens on a Unix socket in a folder that is private to this server, and
keeps a stream to every other node. The frames of one node arrive in order. There are three kinds:

    cast(kind, body)          to all other nodes; may be lost, which the receiver detects as a gap
    call(node, kind, body)    to one node, which replies with a result or an error
    take_role(role)           announces what one node does for all

Listeners get `gap` when casts are missing (a queue was full, or a stream was lost), and `up` when a
node has started or returned. A component with a copy of the node's state then reads it again by a
call. The reply arrives after all earlier casts, so the copy is consistent.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeAlias, TypeVar

from phoenix_compat.background import BackgroundTask, log_failure
from phoenix_compat.cluster.frames import (
    BrokenStreamError,
    Call,
    Cast,
    Frame,
    Hello,
    Reply,
    pack,
)
from phoenix_compat.cluster.link import BusCounts, Link
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.cluster.receiver import Receiver, bound_unix_socket
from phoenix_compat.errors import PhoenixCompatError

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_QUEUE_BYTES: Final = 16 * 2**20
MAX_CALLS: Final = 1_000
CALL_TIMEOUT_S: Final = 5.0
CATCH_UP_S: Final = 5.0
"""How long a start waits for a node that accepts a stream but does not answer."""

CastHandler: TypeAlias = Callable[[int, bytes], None]
"""Called with the node and the body of each cast of a kind. Must not block."""
CallHandler: TypeAlias = Callable[[int, bytes], Awaitable[bytes]]
"""Returns the reply to a call. A change that the reply includes must have been cast before it."""


class CallError(PhoenixCompatError):
    """A call failed: the node has ended, does not reply in time, or refuses the call."""


class _PendingCall(NamedTuple):
    """A call of this node that has no reply yet."""

    node: int
    result: asyncio.Future[Any]
    on_reply: Callable[[bytes], Any]


class _Peer:
    """Another node that is up, with its latest known state."""

    __slots__ = ("call_tasks", "epoch", "receiver", "roles", "seq")

    def __init__(self, receiver: Receiver, hello: Hello) -> None:
        self.receiver = receiver
        self.epoch = hello.epoch
        self.seq = hello.seq
        self.roles = frozenset(hello.roles)
        self.call_tasks: set[asyncio.Task[None]] = set()


class Bus:
    """This node's end of the bus; open within an `async with` block.

    Handlers and listeners may be registered before it opens. A cast without a handler is ignored.

    Args:
        folder: the private folder of the sockets. A socket's path has at most 107 bytes.
        node: the number of this node, less than `size`.
        size: the number of nodes.
        max_queue_bytes: the limit of unsent bytes for one node; further frames are dropped.
        call_timeout_s: how long a call waits for its reply.
        max_calls: the limit of concurrent calls: of each other node, and of this one.

    Attributes:
        background: the tasks that maintain the streams to the other nodes.
    """

    def __init__(  # noqa: PLR0913 - limits, by name
        self,
        folder: Path,
        node: int,
        size: int,
        *,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
        call_timeout_s: float = CALL_TIMEOUT_S,
        max_calls: int = MAX_CALLS,
    ) -> None:
        self.node = node
        self.counts = BusCounts()
        self._path = folder / f"{node}.bus"
        self._call_timeout_s = call_timeout_s
        self._max_calls = max_calls
        self._epoch = secrets.randbits(63)
        self._seq = 0
        self._roles: set[str] = set()
        self._links = {
            other: Link(folder / f"{other}.bus", self._hello, self.counts, max_queue_bytes)
            for other in range(size)
            if other != node
        }
        self._peers: dict[int, _Peer] = {}
        self._listeners: list[NodeListener] = []
        self._cast_handlers: dict[str, CastHandler] = {}
        self._call_handlers: dict[str, CallHandler] = {}
        self._calls: dict[int, _PendingCall] = {}
        self._last_call = 0
        self._server: asyncio.Server | None = None
        self._receivers: set[Receiver] = set()
        self.background: tuple[BackgroundTask, ...] = ()

    async def __aenter__(self) -> Self:
        listener = await asyncio.to_thread(bound_unix_socket, self._path)
        loop = asyncio.get_running_loop()
        # asyncio accepts up to `backlog` connections per loop iteration and logs a traceback for
        # each one without a free descriptor; each other node opens one stream.
        self._server = await loop.create_unix_server(
            lambda: Receiver(self), sock=listener, backlog=max(2, len(self._links))
        )
        self.background = tuple(
            BackgroundTask(f"bus-{other}", link.run) for other, link in self._links.items()
        )
        for task in self.background:
            task.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._listeners.clear()
        for task in self.background:
            task.cancel()
        await asyncio.gather(*(task.stop() for task in self.background))
        if self._server is not None:
            self._server.close()
        for node in tuple(self._peers):
            self._remove_peer(node)
        for receiver in tuple(self._receivers):
            receiver.abort()
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    # Nodes and roles.

    @property
    def up(self) -> frozenset[int]:
        """The other nodes that are up."""
        return frozenset(self._peers)

    async def catch_up(self, timeout_s: float = CATCH_UP_S) -> bool:
        """Wait for the nodes that are up: for their streams to us, and for copies of their state.

        Call it before serving clients, or they miss what other nodes broadcast meanwhile. A node
        that starts later waits for us. Returns False if a node did not answer in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(
                    *(link.wait_for_both_streams() for link in self._links.values())
                )
                await asyncio.gather(*(listener.caught_up() for listener in self._listeners))
        except TimeoutError:
            self.counts.late += 1
            silent = sorted(self._links.keys() - self._peers.keys())
            log.warning("other nodes did not answer in %s s; not up: %s", timeout_s, silent)
            return False
        return True

    def listen(self, listener: NodeListener) -> None:
        """Add a listener. It is called at once for the nodes that are up, and for their roles."""
        self._listeners.append(listener)
        for node, peer in self._peers.items():
            listener.up(node)
            if peer.roles:
                listener.roles_changed(node)

    def take_role(self, role: str) -> None:
        """Take a role and announce it to all nodes."""
        self._roles.add(role)
        self._announce_roles()

    def drop_role(self, role: str) -> None:
        """Drop a role and announce it to all nodes."""
        self._roles.discard(role)
        self._announce_roles()

    def holder(self, role: str) -> int | None:
        """The node with a role, preferably this one; None if no node is known to have it."""
        if role in self._roles:
            return self.node
        return next((node for node, peer in self._peers.items() if role in peer.roles), None)

    def _announce_roles(self) -> None:
        hello = self._hello()
        for link in self._links.values():
            link.send(hello)
        self._notify("roles_changed", self.node)

    def _hello(self) -> bytes:
        return pack(Hello(self.node, self._epoch, self._seq, tuple(sorted(self._roles))))

    # Sending.

    def cast(self, kind: str, body: bytes) -> None:
        """Send a message to every other node; never waits. A node that misses it detects a gap."""
        self._seq += 1
        self.counts.casts += 1
        data = pack(Cast(self._seq, kind, body))
        for link in self._links.values():
            link.send(data)

    async def call(
        self,
        node: int,
        kind: str,
        body: bytes = b"",
        *,
        on_reply: Callable[[bytes], T],
        timeout_s: float | None = None,
    ) -> T:
        """Call one node. The reply arrives after all casts that the node sent before it.

        Args:
            on_reply: called with the body of the reply when it arrives, so before any later cast.
            timeout_s: instead of `call_timeout_s`.

        Returns:
            The result of `on_reply`.

        Raises:
            CallError: the call failed; the message says why.
        """
        if len(self._calls) >= self._max_calls:
            raise CallError(f"{self._max_calls} calls are pending already")
        limit_s = timeout_s or self._call_timeout_s
        self._last_call = number = self._last_call + 1
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls[number] = _PendingCall(node, result, on_reply)
        try:
            async with asyncio.timeout(limit_s):
                link = self._links[node]
                await link.wait_until_up(unless=result)
                if result.done():
                    return result.result()
                if not link.send(pack(Call(number, kind, body))):
                    raise CallError(f"the queue for node {node} is full")
                return await result
        except TimeoutError:
            raise CallError(f"node {node} did not reply in {limit_s} s") from None
        finally:
            del self._calls[number]
            if result.done() and not result.cancelled():
                result.exception()  # this call may have ended before it could be raised

    def on_cast(self, kind: str, handler: CastHandler) -> None:
        """Set the handler for casts of a kind."""
        self._cast_handlers[kind] = handler

    def on_call(self, kind: str, handler: CallHandler) -> None:
        """Set the handler for calls of a kind."""
        self._call_handlers[kind] = handler

    # Receiving: receiver.FrameHandler.

    def handle_frame(self, receiver: Receiver, frame: Frame) -> None:
        """See receiver.FrameHandler."""
        if isinstance(frame, Hello):
            self._handle_hello(receiver, frame)
            return
        peer = None if receiver.node is None else self._peers.get(receiver.node)
        if receiver.node is None or peer is None or peer.receiver is not receiver:
            raise BrokenStreamError(f"a {type(frame).__name__} before the Hello of its node")
        if isinstance(frame, Cast):
            self._handle_cast(receiver.node, peer, frame)
        elif isinstance(frame, Call):
            self._handle_call(receiver.node, peer, frame)
        else:
            self._handle_reply(frame)

    def _handle_hello(self, receiver: Receiver, hello: Hello) -> None:
        if hello.node not in self._links:
            raise BrokenStreamError(f"there is no node {hello.node}")
        node = receiver.node = hello.node
        peer = self._peers.get(node)
        if peer is not None and peer.receiver is not receiver:
            # The new stream was opened before the end of the old one was noticed.
            self._remove_peer(node)
            peer = None
        if peer is None:
            self._peers[node] = _Peer(receiver, hello)
            self._links[node].is_heard.set()
            self._links[node].connect_now()
            self._notify("up", node)
            if hello.roles:
                self._notify("roles_changed", node)
            return
        self._check_gap(node, peer, hello.seq)
        if peer.roles != frozenset(hello.roles):
            peer.roles = frozenset(hello.roles)
            self._notify("roles_changed", node)

    def _handle_cast(self, node: int, peer: _Peer, cast: Cast) -> None:
        self.counts.received += 1
        self._check_gap(node, peer, cast.seq - 1)
        peer.seq = cast.seq
        handler = self._cast_handlers.get(cast.kind)
        if handler is None:
            return
        try:
            handler(node, cast.body)
        except Exception:  # a bug in one handler must not affect the other kinds
            log.exception("the handler failed for a cast of kind %r from node %d", cast.kind, node)

    def _check_gap(self, node: int, peer: _Peer, seq: int) -> None:
        if seq != peer.seq:
            peer.seq = seq
            self.counts.gaps += 1
            log.warning(
                "node %d: casts are missing; the state that depends on them is reread", node
            )
            self._notify("gap", node)

    def _handle_call(self, node: int, peer: _Peer, call: Call) -> None:
        if len(peer.call_tasks) >= self._max_calls:
            self._links[node].send(pack(Reply(call.number, b"", "too many calls")))
            return
        task = asyncio.create_task(self._reply(node, call), name=f"bus-call-{call.kind}")
        peer.call_tasks.add(task)
        task.add_done_callback(peer.call_tasks.discard)
        task.add_done_callback(log_failure)

    async def _reply(self, node: int, call: Call) -> None:
        try:
            handler = self._call_handlers.get(call.kind)
            if handler is None:
                raise CallError(f"no handler for calls of kind {call.kind!r}")  # noqa: TRY301 - replied below
            reply = Reply(call.number, await handler(node, call.body))
        except Exception as error:  # the caller gets a reply even if the handler has a bug
            if not isinstance(error, PhoenixCompatError):
                log.exception("a call of kind %r from node %d failed", call.kind, node)
            reply = Reply(call.number, b"", str(error))
        self._links[node].send(pack(reply))

    def _handle_reply(self, reply: Reply) -> None:
        call = self._calls.get(reply.number)
        if call is None or call.result.done():
            return
        if reply.error is not None:
            call.result.set_exception(CallError(reply.error))
            return
        try:
            call.result.set_result(call.on_reply(reply.body))
        except Exception as error:  # noqa: BLE001 - the caller of `call` gets it
            call.result.set_exception(error)

    def stream_opened(self, receiver: Receiver) -> None:
        """See receiver.FrameHandler."""
        self._receivers.add(receiver)

    def stream_lost(self, receiver: Receiver) -> None:
        """See receiver.FrameHandler."""
        self._receivers.discard(receiver)
        node = receiver.node
        if node is not None and node in self._peers and self._peers[node].receiver is receiver:
            self._remove_peer(node)

    def _remove_peer(self, node: int) -> None:
        peer = self._peers.pop(node)
        self._links[node].is_heard.clear()
        peer.receiver.abort()
        for task in tuple(peer.call_tasks):
            task.cancel()
        for call in tuple(self._calls.values()):
            if call.node == node and not call.result.done():
                call.result.set_exception(CallError(f"node {node} has ended"))
        self._notify("down", node)
        if peer.roles:
            self._notify("roles_changed", node)

    def _notify(self, event: str, node: int) -> None:
        for listener in self._listeners:
            try:
                getattr(listener, event)(node)
            except Exception:  # a bug in one listener must not affect the others
                log.exception("a listener failed at %s of node %d", event, node)
