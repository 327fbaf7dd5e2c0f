"""Connects nodes on any machines through a broker that may lose anything; see cluster.bus.

PREFIX.all            casts, and a Hello of each node every `heartbeat_s`; every node subscribes it
PREFIX.<inbox>        calls of one node, and replies to its own; see addresses

a Hello of a new node, or one with a later epoch      `up`
no message for 7.5 heartbeats, or a Bye               `down`
a missing number, or a reconnect of this node         `gap`, and the state is read again by calls
its own Hello is not heard for 5 heartbeats           this node is deaf, and subscribes anew
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import time
from collections.abc import Callable
from typing import Final, Self, TypeVar

from phoenix_compat.background import BackgroundTask
from phoenix_compat.bounded import brief
from phoenix_compat.cluster.brokers.addresses import inbox_of, inbox_subject, new_node
from phoenix_compat.cluster.brokers.answers import Answers
from phoenix_compat.cluster.brokers.attended_clock import AttendedClock
from phoenix_compat.cluster.brokers.broker import Broker
from phoenix_compat.cluster.brokers.connection import Connection
from phoenix_compat.cluster.brokers.messages import (
    HEADER_BYTES,
    Bye,
    Call,
    Cast,
    Hello,
    InvalidMessageError,
    Part,
    Received,
    Reply,
    Sender,
    kind_of,
    unpack,
)
from phoenix_compat.cluster.brokers.parts import Joiner, split
from phoenix_compat.cluster.brokers.peers import MAX_NODES, Peers
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
from phoenix_compat.errors import ConfigError

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_PREFIX: Final = "phoenix_compat"
HEARTBEAT_S: Final = 2.0
DEAF_BEATS: Final = 5.0
DOWN_BEATS: Final = 7.5

_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LEAVE_S: Final = 1.0
_SETTLE_S: Final = 0.2
"""How long the Hellos of the other nodes may take after the own one."""
_LOG_EVERY_S: Final = 60.0


class BrokerBus:
    """A Bus through a Broker.

    Handlers and listeners may be registered before it opens. Opening does not wait for the broker.

    Args:
        prefix: begins the names of all subjects; servers that share a broker need different ones.
        name: what logs of other nodes call this one; its host and process id by default.
        heartbeat_s: how often this node says that it is there; the same on all nodes. A node that
            is not heard for 7.5 times as long is down, and one that does not hear itself for 5
            times as long is deaf.
        call_timeout_s: how long a call waits for its reply.
        max_calls: the limit of concurrent calls: of each other node, and of this one.
        max_message_bytes: the limit of one message; a longer one is dropped. The same on all nodes.
        inbox: the number of this node's inbox, which no other node may have; random by default.

    Attributes:
        node, counts: see Bus. A process that is started again is a new node.
        background: the tasks that maintain the connection to the broker.

    Raises:
        ConfigError: an argument is invalid.
    """

    def __init__(  # noqa: PLR0913 - limits, by name
        self,
        broker: Broker,
        *,
        prefix: str = DEFAULT_PREFIX,
        name: str | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
        max_calls: int = MAX_CALLS,
        max_message_bytes: int = MAX_QUEUE_BYTES,
        inbox: int | None = None,
    ) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ConfigError(
                f"the prefix {brief(prefix)} of the bus must consist of 1 to 32 letters, digits, _ "
                'and -: write prefix="chat"'
            )
        self.counts = BusCounts()
        self.background: tuple[BackgroundTask, ...] = ()
        self._broker = broker
        self._prefix = prefix
        self._all = f"{prefix}.all"
        self._name = name
        self._inbox = inbox
        self._heartbeat_s = heartbeat_s
        self._call_timeout_s = call_timeout_s
        self._max_message_bytes = max_message_bytes
        self._epoch = 0
        self._seq = 0
        self._hellos = 0
        self._last_parted = 0
        self._is_leaving = False
        self._roles: set[str] = set()
        self._handlers = Handlers()
        self._calls = PendingCalls(max_calls)
        self._answers = Answers(self._handlers, max_calls, self._reply)
        self._peers = Peers(self._handlers, self._calls, self.counts, self._removed)
        self._joiner = Joiner(2 * max_message_bytes)
        self._connection: Connection | None = None
        self._has_left: asyncio.Event | None = None
        self._ignored_logged_at = -_LOG_EVERY_S
        self._take_identity()

    def _take_identity(self) -> None:
        self._pid = os.getpid()
        self.node = new_node(self._inbox)
        self._sender = Sender(self.node, self._epoch)

    async def __aenter__(self) -> Self:
        if self._pid != os.getpid():  # a fork is another node
            self._take_identity()
        await asyncio.to_thread(self._broker.load)
        self._epoch = max(self._epoch + 1, time.time_ns())
        self._seq = 0
        self._is_leaving = False
        self._sender = Sender(self.node, self._epoch)
        self._hello_name = self._name or f"{socket.gethostname()}:{self._pid}"
        self._has_left = asyncio.Event()
        self._clock = AttendedClock(self._heartbeat_s)
        self._connection = connection = Connection(
            self._broker,
            self._clock,
            self.counts,
            deaf_after_s=DEAF_BEATS * self._heartbeat_s,
            on_connected=self._connected,
        )
        subjects = (self._all, self._subject(self.node))
        self.background = (
            BackgroundTask("bus-broker", lambda: connection.run(subjects, self._receive)),
            BackgroundTask("bus-heartbeat", lambda: self._beat(connection)),
        )
        for task in self.background:
            task.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._handlers.listeners.clear()
        await self._say_bye()
        await asyncio.gather(*(task.stop() for task in self.background))
        self._connection = None
        for node in self._peers:
            self._peers.remove(node)
        self._answers.cancel_all()

    async def _say_bye(self) -> None:
        """Leave, and wait a moment until the broker has passed that on."""
        connection, has_left = self._connection, self._has_left
        if connection is None or has_left is None:
            return
        is_sent = self._broker.publish(self._all, self._sender.pack(Bye()))
        self._is_leaving = True
        if not is_sent:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await has_left.wait()

    # Nodes and roles.

    @property
    def is_deaf(self) -> bool:
        """See Bus.is_deaf."""
        return self._connection is not None and self._connection.is_deaf

    @property
    def up(self) -> frozenset[int]:
        """See Bus.up."""
        return frozenset(self._peers)

    async def catch_up(self, timeout_s: float = CATCH_UP_S) -> bool:
        """See Bus.catch_up."""
        try:
            async with asyncio.timeout(timeout_s):
                if self._connection is not None:
                    await self._connection.is_heard.wait()
                    await asyncio.sleep(_SETTLE_S)
                await self._handlers.caught_up()
        except TimeoutError:
            self.counts.late += 1
            log.warning(
                "%s: nodes or the broker did not answer in %s s", self._broker.name, timeout_s
            )
            return False
        return True

    def listen(self, listener: NodeListener) -> None:
        """See Bus.listen."""
        self._handlers.listen(
            listener, [(node, self._peers.has_roles(node)) for node in self._peers]
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
        return self._peers.holder(role)

    def _announce_roles(self) -> None:
        self._say_hello()
        self._handlers.notify("roles_changed", self.node)

    # Sending.

    def cast(self, kind: str, body: bytes) -> None:
        """See Bus.cast."""
        self._seq += 1
        self.counts.casts += 1
        self._publish(self._all, self._sender.pack(Cast(self._seq, kind, body)))

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
        if node not in self._peers:
            raise CallError(f"node {node} is not up")
        number, result = self._calls.begin(node, on_reply)
        limit_s = timeout_s or self._call_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                if not self._publish(
                    self._subject(node), self._sender.pack(Call(number, kind, body))
                ):
                    raise CallError(f"a call of node {node} cannot be sent now, or is too long")
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

    def _subject(self, node: int) -> str:
        return inbox_subject(self._prefix, inbox_of(node))

    def _publish(self, subject: str, data: bytes) -> bool:
        max_payload_bytes = self._broker.max_payload_bytes
        if len(data) <= max_payload_bytes:
            is_sent = self._send(subject, data)
        elif len(data) > self._max_message_bytes:
            is_sent = False
        else:
            self._last_parted += 1
            parts = split(self._sender, self._last_parted, data, max_payload_bytes)
            is_sent = all(self._send(subject, part) for part in parts)
        if not is_sent:
            self.counts.dropped += 1
        return is_sent

    def _say_hello(self, to: str | None = None, *, asks: bool = False) -> None:
        self._hellos += 1
        roles = tuple(sorted(self._roles))
        hello = Hello(self._seq, roles, self._hello_name, asks, self._hellos)
        self._send(to or self._all, self._sender.pack(hello))

    def _send(self, subject: str, data: bytes) -> bool:
        # After a Bye anything would make this node up again.
        return not self._is_leaving and self._broker.publish(subject, data)

    def _connected(self) -> None:
        self._peers.has_reconnected()
        self._say_hello(asks=True)

    async def _beat(self, connection: Connection) -> None:
        while True:
            for _ in range(2):
                await asyncio.sleep(self._heartbeat_s / 2)
                self._clock.tick()
                connection.check()
                self._peers.remove_silent(self._clock.now - DOWN_BEATS * self._heartbeat_s)
            self._say_hello()

    # Receiving.

    def _receive(self, subject: str, data: bytes) -> None:
        if data[2:HEADER_BYTES] == self._sender.identity:
            self._handle_own(data)
            return
        try:
            received = self._unpacked(subject, data)
        except InvalidMessageError as error:
            self.counts.broken += 1
            self._log_ignored(str(error))
            return
        if received is not None and received.node != self.node:
            self._handle(received, is_to_all=subject == self._all)

    def _handle_own(self, data: bytes) -> None:
        kind = kind_of(data)
        if kind is Hello and self._connection is not None:
            self._connection.heard_self()
        elif kind is Bye and self._has_left is not None:
            self._has_left.set()

    def _unpacked(self, subject: str, data: bytes) -> Received | None:
        """The message, or None if this is not its last part. Raises InvalidMessageError."""
        received = unpack(data)
        node, epoch, message = received
        if not isinstance(message, Part):
            return received
        whole = self._joiner.add((node, epoch, subject), message)
        if whole is None:
            return None
        received = unpack(whole)
        if received[:2] != (node, epoch) or isinstance(received.message, Part):
            raise InvalidMessageError("parts that are not those of one message")
        return received

    def _handle(self, received: Received, *, is_to_all: bool) -> None:
        node, _, message = received
        if isinstance(message, Call):
            self._answers.begin(node, message)
            return
        is_up = self._peers.handle(received, self._clock.now, is_to_all=is_to_all)
        if is_up and isinstance(message, Hello) and message.asks:
            self._say_hello(self._subject(node))
        elif not is_up and self._peers.is_full:
            self._log_ignored(f"a node beyond the limit of {MAX_NODES}")

    def _reply(self, node: int, number: int, body: bytes, error: str | None) -> bool:
        reply = Reply(self._seq, number, body, error)
        return self._publish(self._subject(node), self._sender.pack(reply))

    def _removed(self, node: int) -> None:
        self._joiner.discard(node)
        self._answers.cancel(node)

    def _log_ignored(self, what: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._ignored_logged_at >= _LOG_EVERY_S:
            self._ignored_logged_at = now
            log.warning("%s, prefix %s: ignored %s", self._broker.name, self._prefix, what)
