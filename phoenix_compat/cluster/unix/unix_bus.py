"""Connects the processes of one machine over Unix sockets; see cluster.bus.

Each node listens on a Unix socket in a folder that is private to this server, and keeps a stream to
every other node. A stream that ends means that its node has ended. Casts are missing when a queue
was full, or a stream was lost.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from phoenix_compat.background import BackgroundTask, log_failure
from phoenix_compat.cluster.bus import (
    CALL_TIMEOUT_S,
    CATCH_UP_S,
    MAX_CALLS,
    MAX_QUEUE_BYTES,
    BusCounts,
    CallError,
    CallHandler,
    CastHandler,
)
from phoenix_compat.cluster.handlers import Handlers, PendingCalls
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.cluster.unix.frames import (
    BrokenStreamError,
    Call,
    Cast,
    Frame,
    Hello,
    Reply,
    pack,
)
from phoenix_compat.cluster.unix.link import Link
from phoenix_compat.cluster.unix.receiver import Receiver, bound_unix_socket

log = logging.getLogger(__name__)

T = TypeVar("T")


class _Peer:
    """Another node that is up, with its latest known state."""

    __slots__ = ("call_tasks", "epoch", "receiver", "roles", "seq")

    def __init__(self, receiver: Receiver, hello: Hello) -> None:
        self.receiver = receiver
        self.epoch = hello.epoch
        self.seq = hello.seq
        self.roles = frozenset(hello.roles)
        self.call_tasks: set[asyncio.Task[None]] = set()


class UnixBus:
    """A Bus over Unix sockets.

    Handlers and listeners may be registered before it opens. A cast without a handler is ignored.

    Args:
        folder: the private folder of the sockets. A socket's path has at most 107 bytes.
        node: the number of this node, less than `size`.
        size: the number of nodes.
        max_queue_bytes: the limit of unsent bytes for one node; further frames are dropped.
        call_timeout_s: how long a call waits for its reply.
        max_calls: the limit of concurrent calls: of each other node, and of this one.

    Attributes:
        node, counts: see Bus.
        background: the tasks that maintain the streams to the other nodes.
        is_deaf: always False: who cannot hear another node sees it down.
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
        self.is_deaf = False
        self._epoch = secrets.randbits(63)
        self._seq = 0
        self._roles: set[str] = set()
        self._links = {
            other: Link(folder / f"{other}.bus", self._hello, self.counts, max_queue_bytes)
            for other in range(size)
            if other != node
        }
        self._peers: dict[int, _Peer] = {}
        self._handlers = Handlers()
        self._calls = PendingCalls(max_calls)
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
        self._handlers.listeners.clear()
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
        """See Bus.up."""
        return frozenset(self._peers)

    async def catch_up(self, timeout_s: float = CATCH_UP_S) -> bool:
        """See Bus.catch_up."""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(
                    *(link.wait_for_both_streams() for link in self._links.values())
                )
                await self._handlers.caught_up()
        except TimeoutError:
            self.counts.late += 1
            silent = sorted(self._links.keys() - self._peers.keys())
            log.warning("other nodes did not answer in %s s; not up: %s", timeout_s, silent)
            return False
        return True

    def listen(self, listener: NodeListener) -> None:
        """See Bus.listen."""
        self._handlers.listen(
            listener, ((node, bool(peer.roles)) for node, peer in self._peers.items())
        )

    def take_role(self, role: str) -> None:
        """See Bus.take_role."""
        self._roles.add(role)
        self._announce_roles()

    def drop_role(self, role: str) -> None:
        """See Bus.drop_role."""
        self._roles.discard(role)
        self._announce_roles()

    def holder(self, role: str) -> int | None:
        """See Bus.holder."""
        if role in self._roles:
            return self.node
        return next((node for node, peer in self._peers.items() if role in peer.roles), None)

    def _announce_roles(self) -> None:
        hello = self._hello()
        for link in self._links.values():
            link.send(hello)
        self._handlers.notify("roles_changed", self.node)

    def _hello(self) -> bytes:
        return pack(Hello(self.node, self._epoch, self._seq, tuple(sorted(self._roles))))

    # Sending.

    def cast(self, kind: str, body: bytes) -> None:
        """See Bus.cast."""
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
        """See Bus.call."""
        number, result = self._calls.begin(node, on_reply)
        limit_s = timeout_s or self._call_timeout_s
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
            self._calls.end(number)

    def on_cast(self, kind: str, handler: CastHandler) -> None:
        """See Bus.on_cast."""
        self._handlers.on_cast(kind, handler)

    def on_call(self, kind: str, handler: CallHandler) -> None:
        """See Bus.on_call."""
        self._handlers.on_call(kind, handler)

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
            self._calls.resolve(receiver.node, frame.number, frame.body, frame.error)

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
            self._handlers.notify("up", node)
            if hello.roles:
                self._handlers.notify("roles_changed", node)
            return
        self._check_gap(node, peer, hello.seq)
        if peer.roles != frozenset(hello.roles):
            peer.roles = frozenset(hello.roles)
            self._handlers.notify("roles_changed", node)

    def _handle_cast(self, node: int, peer: _Peer, cast: Cast) -> None:
        self.counts.received += 1
        self._check_gap(node, peer, cast.seq - 1)
        peer.seq = cast.seq
        self._handlers.handle_cast(node, cast.kind, cast.body)

    def _check_gap(self, node: int, peer: _Peer, seq: int) -> None:
        if seq != peer.seq:
            peer.seq = seq
            self.counts.gaps += 1
            log.warning(
                "node %d: casts are missing; the state that depends on them is reread", node
            )
            self._handlers.notify("gap", node)

    def _handle_call(self, node: int, peer: _Peer, call: Call) -> None:
        if len(peer.call_tasks) >= self._max_calls:
            self._links[node].send(pack(Reply(call.number, b"", "too many calls")))
            return
        task = asyncio.create_task(self._reply(node, call), name=f"bus-call-{call.kind}")
        peer.call_tasks.add(task)
        task.add_done_callback(peer.call_tasks.discard)
        task.add_done_callback(log_failure)

    async def _reply(self, node: int, call: Call) -> None:
        body, error = await self._handlers.handle_call(node, call.kind, call.body)
        self._links[node].send(pack(Reply(call.number, body, error)))

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
        self._calls.fail(node, f"node {node} has ended")
        self._handlers.notify("down", node)
        if peer.roles:
            self._handlers.notify("roles_changed", node)
