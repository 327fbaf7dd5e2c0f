"""A broker in this process that loses, delays and disorders what it is told to, and can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from phoenix_compat.cluster.brokers.broker import BrokerError, OnMessage
from phoenix_compat.cluster.bus import MAX_QUEUE_BYTES


class MemoryServer:
    """What the brokers of several nodes connect to.

    Attributes:
        is_up: whether connections can be made.
        delay_s: returns how long a message takes; different times change the order.
        loses: returns whether a message is lost, by its subject and data.
        published: how many messages brokers have published.
        delivered: how many messages subscribers have got.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.delay_s: Callable[[], float] = lambda: 0.0
        self.loses: Callable[[str, bytes], bool] = lambda _subject, _data: False
        self.published = 0
        self.delivered = 0
        self._connected: list[MemoryBroker] = []
        self._groups: list[set[MemoryBroker]] = []

    def partition(self, *groups: Sequence[MemoryBroker]) -> None:
        """Deliver only within each of these groups; without groups, to all again."""
        self._groups = [set(group) for group in groups]

    def stop(self) -> None:
        """End all connections, and refuse new ones."""
        self.is_up = False
        for broker in tuple(self._connected):
            broker.disconnect()

    def connect(self, broker: MemoryBroker) -> None:
        """Accept a connection. Raises BrokerError."""
        if not self.is_up:
            raise BrokerError("the server is down")
        self._connected.append(broker)

    def disconnect(self, broker: MemoryBroker) -> None:
        """Forget a connection."""
        if broker in self._connected:
            self._connected.remove(broker)

    def pass_on(self, sender: MemoryBroker, subject: str, data: bytes) -> None:
        """Deliver a message to all that subscribe to its subject, later in this tick or later."""
        self.published += 1
        if self.loses(subject, data):
            return
        loop = asyncio.get_running_loop()
        for receiver in self._connected:
            if self._is_cut(sender, receiver):
                continue
            delay_s = self.delay_s()
            if delay_s:
                loop.call_later(delay_s, self._deliver, receiver, subject, data)
            else:
                loop.call_soon(self._deliver, receiver, subject, data)

    def _deliver(self, receiver: MemoryBroker, subject: str, data: bytes) -> None:
        self.delivered += receiver.receive(subject, data)

    def _is_cut(self, one: MemoryBroker, other: MemoryBroker) -> bool:
        return one is not other and any(
            (one in group) != (other in group) for group in self._groups
        )


class MemoryBroker:
    """See Broker.

    Attributes:
        is_silent: whether the subscriptions are lost, although the connection looks healthy.
        refuses: whether `publish` refuses everything, as with a full queue.
        runs: how often `run` was called.
    """

    def __init__(self, server: MemoryServer, *, max_payload_bytes: int = 2**20) -> None:
        self.server = server
        self.name = "memory"
        self.max_payload_bytes = max_payload_bytes
        self.is_silent = False
        self.refuses = False
        self.runs = 0
        self._queued_bytes = 0
        self._subjects: frozenset[str] = frozenset()
        self._on_message: OnMessage | None = None
        self._lost: asyncio.Future[None] | None = None

    def load(self) -> None:
        """See Broker."""

    async def run(
        self, subjects: Sequence[str], on_message: OnMessage, on_connected: Callable[[], None]
    ) -> None:
        """See Broker."""
        self.runs += 1
        self.server.connect(self)
        self.is_silent = False
        self._subjects, self._on_message = frozenset(subjects), on_message
        self._lost = asyncio.get_running_loop().create_future()
        try:
            on_connected()
            await self._lost
        finally:
            self._lost = self._on_message = None
            self.server.disconnect(self)

    def publish(self, subject: str, data: bytes) -> bool:
        """See Broker."""
        assert len(data) <= self.max_payload_bytes
        if self._lost is None or self.refuses:
            return False
        if self._queued_bytes + len(data) > MAX_QUEUE_BYTES:
            return False
        self._queued_bytes += len(data)
        asyncio.get_running_loop().call_soon(self._sent, len(data))
        self.server.pass_on(self, subject, data)
        return True

    def _sent(self, size_bytes: int) -> None:
        self._queued_bytes -= size_bytes

    def receive(self, subject: str, data: bytes) -> bool:
        """Take a message of the server; return whether it is for this node."""
        if self._on_message is None or self.is_silent or subject not in self._subjects:
            return False
        self._on_message(subject, data)
        return True

    def disconnect(self) -> None:
        """Lose the connection."""
        if self._lost is not None and not self._lost.done():
            self._lost.set_exception(BrokerError("the server went away"))
