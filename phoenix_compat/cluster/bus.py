"""The bus: what one process of this server says reaches the others, or they know that it did not.

Each node listens on a Unix socket in a folder that is private to this server, and keeps a stream to
every other. What one node sends arrives in the order in which it was sent. Three ways to speak:

    cast(kind, body)          to all nodes that are up; may be lost, and then the gap is told
    call(node, kind, body)    to one, with an answer or an error
    take_role(role)           what one node does for all

A gap is told when casts are missing (the queue of that node was full, or the stream was lost), and
`up` when a node is new or back: whoever holds a copy of its state then reads it anew, by a call,
whose answer arrives behind all that was cast before it.
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
from phoenix_compat.cluster.receiver import Receiver, bound_unix_socket
from phoenix_compat.errors import PhoenixCompatError

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_QUEUE_BYTES: Final = 16 * 2**20
MAX_CALLS: Final = 1_000
"""Calls of one node that are being answered, and calls of ours that wait, at once."""
CALL_TIMEOUT_S: Final = 5.0
CATCH_UP_S: Final = 5.0
"""So long a start waits for a node that takes a stream and says nothing: one that is stopped."""

CastHandler: TypeAlias = Callable[[int, bytes], None]
"""Called with the node and the body of each cast of a kind. Must not wait."""
CallHandler: TypeAlias = Callable[[int, bytes], Awaitable[bytes]]
"""Answers a call. What its answer tells of was cast before, if it was cast."""


class CallError(PhoenixCompatError):
    """A call has no answer: the node is gone, does not answer in time, or refuses."""


class NodeListener:
    """What may be followed of other nodes; override what is wanted. Must not wait."""

    def up(self, node: int) -> None:
        """A node is new, or back: nothing is known of what it cast before."""

    def gap(self, node: int) -> None:
        """Some casts of a node are missing before the next."""

    def down(self, node: int) -> None:
        """A node is gone, and its roles with it."""

    def roles_changed(self, node: int) -> None:
        """A node, or this one, took or gave up a role."""

    async def caught_up(self) -> None:
        """Back once the copies of what the nodes that are up hold are whole."""


class _Waiting(NamedTuple):
    """A call of ours without an answer yet."""

    node: int
    answer: asyncio.Future[Any]
    take: Callable[[bytes], Any]


class _Peer:
    """Another node that is up, as it was heard last."""

    __slots__ = ("answering", "epoch", "receiver", "roles", "seq")

    def __init__(self, receiver: Receiver, hello: Hello) -> None:
        self.receiver = receiver
        self.epoch = hello.epoch
        self.seq = hello.seq
        self.roles = frozenset(hello.roles)
        self.answering: set[asyncio.Task[None]] = set()


class Bus:
    """This node's end of the bus; open while its `async with` block lasts.

    Handlers and listeners may be registered before it opens; what comes for none is passed over.

    Args:
        folder: where the sockets are: short (a socket's path has at most 107 bytes), and private.
        node: this node's number, below `size`.
        size: how many nodes there may be.
        max_queue_bytes: what may wait for one node that does not read; more is dropped.

    Attributes:
        background: the tasks that keep the streams to the other nodes up.
    """

    def __init__(
        self,
        folder: Path,
        node: int,
        size: int,
        *,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self.node = node
        self.counts = BusCounts()
        self._path = folder / f"{node}.bus"
        self._call_timeout_s = call_timeout_s
        self._epoch = secrets.randbits(63)
        self._seq = 0
        self._roles: set[str] = set()
        self._links = {
            other: Link(folder / f"{other}.bus", self._greeting, self.counts, max_queue_bytes)
            for other in range(size)
            if other != node
        }
        self._peers: dict[int, _Peer] = {}
        self._listeners: list[NodeListener] = []
        self._cast_handlers: dict[str, CastHandler] = {}
        self._call_handlers: dict[str, CallHandler] = {}
        self._calls: dict[int, _Waiting] = {}
        self._last_call = 0
        self._server: asyncio.Server | None = None
        self._receivers: set[Receiver] = set()
        self.background: tuple[BackgroundTask, ...] = ()

    async def __aenter__(self) -> Self:
        listener = await asyncio.to_thread(bound_unix_socket, self._path)
        loop = asyncio.get_running_loop()
        # asyncio tries to accept `backlog` times a turn, and logs a traceback each time that it
        # has no descriptor; each other node opens one stream.
        self._server = await loop.create_unix_server(
            lambda: Receiver(self), sock=listener, backlog=max(2, len(self._links))
        )
        self.background = tuple(
            BackgroundTask(f"bus-{other}", link.keep_up) for other, link in self._links.items()
        )
        for task in self.background:
            task.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._listeners.clear()
        for task in self.background:
            task.cancel()
        await asyncio.gather(*(task.stop() for task in self.background))
        if self._server is not None:
            self._server.close()
        for node in tuple(self._peers):
            self._gone(node)
        for receiver in tuple(self._receivers):
            receiver.hang_up()
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    # Who is there.

    @property
    def up(self) -> frozenset[int]:
        """The other nodes that are heard."""
        return frozenset(self._peers)

    async def catch_up(self, timeout_s: float = CATCH_UP_S) -> bool:
        """Wait for the nodes that are there: for their streams to us, and copies of what they hold.

        Whoever serves clients does this first, or these miss what the others broadcast meanwhile. A
        node that comes later waits for us. False when some node told not all in this time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(link.both_ways() for link in self._links.values()))
                await asyncio.gather(*(listener.caught_up() for listener in self._listeners))
        except TimeoutError:
            self.counts.late += 1
            silent = sorted(self._links.keys() - self._peers.keys())
            log.warning("other nodes did not tell all in %s s; not up: %s", timeout_s, silent)
            return False
        return True

    def listen(self, listener: NodeListener) -> None:
        """Have a listener told of other nodes; at once of those that are up, and their roles."""
        self._listeners.append(listener)
        for node, peer in self._peers.items():
            listener.up(node)
            if peer.roles:
                listener.roles_changed(node)

    def take_role(self, role: str) -> None:
        """Do something for all nodes, which hear of it."""
        self._roles.add(role)
        self._tell_roles()

    def drop_role(self, role: str) -> None:
        """Do it no more."""
        self._roles.discard(role)
        self._tell_roles()

    def holder(self, role: str) -> int | None:
        """The node that has a role, this one first; None when none is known to have it."""
        if role in self._roles:
            return self.node
        return next((node for node, peer in self._peers.items() if role in peer.roles), None)

    def _tell_roles(self) -> None:
        greeting = self._greeting()
        for link in self._links.values():
            link.send(greeting)
        self._tell("roles_changed", self.node)

    def _greeting(self) -> bytes:
        return pack(Hello(self.node, self._epoch, self._seq, tuple(sorted(self._roles))))

    # Speaking.

    def cast(self, kind: str, body: bytes) -> None:
        """Send news to every node; never waits. Those that miss it are told of a gap."""
        self._seq += 1
        self.counts.casts += 1
        data = pack(Cast(self._seq, kind, body))
        for link in self._links.values():
            link.send(data)

    async def call(
        self, node: int, kind: str, body: bytes = b"", *, take: Callable[[bytes], T]
    ) -> T:
        """Ask one node; its answer comes behind all that it cast before it.

        Args:
            take: called with the answer when it is heard, so before any cast that follows; what it
                returns is returned here, later.

        Raises:
            CallError: there is no answer; the text says why.
        """
        if len(self._calls) >= MAX_CALLS:
            raise CallError(f"{MAX_CALLS} calls wait already")
        self._last_call = number = self._last_call + 1
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls[number] = _Waiting(node, answer, take)
        try:
            async with asyncio.timeout(self._call_timeout_s):
                link = self._links[node]
                await link.is_up.wait()
                if not link.send(pack(Call(number, kind, body))):
                    raise CallError(f"node {node} does not read")
                return await answer
        except TimeoutError:
            raise CallError(f"node {node} did not answer in {self._call_timeout_s} s") from None
        finally:
            del self._calls[number]

    def on_cast(self, kind: str, handler: CastHandler) -> None:
        """Have casts of a kind handled."""
        self._cast_handlers[kind] = handler

    def on_call(self, kind: str, handler: CallHandler) -> None:
        """Have calls of a kind answered."""
        self._call_handlers[kind] = handler

    # Hearing.

    def hear(self, receiver: Receiver, frame: Frame) -> None:
        """Take a frame that came over a stream."""
        if isinstance(frame, Hello):
            self._hear_hello(receiver, frame)
            return
        peer = None if receiver.node is None else self._peers.get(receiver.node)
        if receiver.node is None or peer is None or peer.receiver is not receiver:
            raise BrokenStreamError(f"a {type(frame).__name__} of a node that did not say who")
        if isinstance(frame, Cast):
            self._hear_cast(receiver.node, peer, frame)
        elif isinstance(frame, Call):
            self._hear_call(receiver.node, peer, frame)
        else:
            self._hear_reply(frame)

    def _hear_hello(self, receiver: Receiver, hello: Hello) -> None:
        if hello.node not in self._links:
            raise BrokenStreamError(f"there is no node {hello.node}")
        node = receiver.node = hello.node
        peer = self._peers.get(node)
        if peer is not None and peer.receiver is not receiver:
            # Its new stream was heard before the end of its old one.
            self._gone(node)
            peer = None
        if peer is None:
            self._peers[node] = _Peer(receiver, hello)
            self._links[node].is_heard.set()
            self._links[node].dial_now()
            self._tell("up", node)
            if hello.roles:
                self._tell("roles_changed", node)
            return
        self._check_gap(node, peer, hello.seq)
        if peer.roles != frozenset(hello.roles):
            peer.roles = frozenset(hello.roles)
            self._tell("roles_changed", node)

    def _hear_cast(self, node: int, peer: _Peer, news: Cast) -> None:
        self.counts.received += 1
        self._check_gap(node, peer, news.seq - 1)
        peer.seq = news.seq
        handler = self._cast_handlers.get(news.kind)
        if handler is None:
            return
        try:
            handler(node, news.body)
        except Exception:  # one kind's bug must not make us deaf for all others
            log.exception("a cast of kind %r from node %d was not handled", news.kind, node)

    def _check_gap(self, node: int, peer: _Peer, seq: int) -> None:
        if seq != peer.seq:
            peer.seq = seq
            self.counts.gaps += 1
            log.warning("node %d: casts are missing; what depends on them is read anew", node)
            self._tell("gap", node)

    def _hear_call(self, node: int, peer: _Peer, call: Call) -> None:
        if len(peer.answering) >= MAX_CALLS:
            self._links[node].send(pack(Reply(call.number, b"", "too many calls")))
            return
        task = asyncio.create_task(self._answer(node, call), name=f"bus-call-{call.kind}")
        peer.answering.add(task)
        task.add_done_callback(peer.answering.discard)
        task.add_done_callback(log_failure)

    async def _answer(self, node: int, call: Call) -> None:
        try:
            handler = self._call_handlers.get(call.kind)
            if handler is None:
                raise CallError(f"nobody answers {call.kind!r}")  # noqa: TRY301 - the same answer
            reply = Reply(call.number, await handler(node, call.body))
        except Exception as error:  # the caller must not wait for a bug of ours
            if not isinstance(error, PhoenixCompatError):
                log.exception("a call of kind %r from node %d failed", call.kind, node)
            reply = Reply(call.number, b"", str(error))
        self._links[node].send(pack(reply))

    def _hear_reply(self, reply: Reply) -> None:
        waiting = self._calls.get(reply.number)
        if waiting is None or waiting.answer.done():
            return
        if reply.error is not None:
            waiting.answer.set_exception(CallError(reply.error))
            return
        try:
            waiting.answer.set_result(waiting.take(reply.body))
        except Exception as error:  # noqa: BLE001 - handed to the one who asked
            waiting.answer.set_exception(error)

    def opened(self, receiver: Receiver) -> None:
        """A stream was opened by some node."""
        self._receivers.add(receiver)

    def lost(self, receiver: Receiver) -> None:
        """A stream has ended: its node has died, or stopped."""
        self._receivers.discard(receiver)
        node = receiver.node
        if node is not None and node in self._peers and self._peers[node].receiver is receiver:
            self._gone(node)

    def _gone(self, node: int) -> None:
        peer = self._peers.pop(node)
        self._links[node].is_heard.clear()
        peer.receiver.hang_up()
        for task in tuple(peer.answering):
            task.cancel()
        for waiting in tuple(self._calls.values()):
            if waiting.node == node and not waiting.answer.done():
                waiting.answer.set_exception(CallError(f"node {node} is gone"))
        self._tell("down", node)
        if peer.roles:
            self._tell("roles_changed", node)

    def _tell(self, what: str, node: int) -> None:
        for listener in self._listeners:
            try:
                getattr(listener, what)(node)
            except Exception:  # one listener's bug must not keep the others uninformed
                log.exception("a listener failed at %s of node %d", what, node)
