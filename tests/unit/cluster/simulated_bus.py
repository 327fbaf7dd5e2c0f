"""Nodes whose messages a test delivers, loses, repeats or holds back, one by one.

It is worse than every real bus: messages of one node may overtake each other, and a cast may arrive
twice. What it keeps is what a Bus promises: `up` when a node is heard for the first time or again,
`gap` when casts are missing, and `down` when a node is not heard any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from phoenix_compat.cluster.bus import CallError, CallHandler, CastHandler
from phoenix_compat.cluster.node_listener import NodeListener


@dataclass(frozen=True)
class InFlight:
    """A message that was sent and has not arrived."""

    sender: int
    receiver: int
    arrive: Callable[[], Awaitable[None]]


class Network:
    """All nodes, and the messages between them.

    Attributes:
        cut: the pairs of nodes that cannot hear each other.
        tells_gaps: whether missing casts are noticed.
    """

    def __init__(self) -> None:
        self.buses: dict[int, SimulatedBus] = {}
        self.in_flight: list[InFlight] = []
        self.cut: set[frozenset[int]] = set()
        self.tells_gaps = True

    def send(self, sender: int, receiver: int, arrive: Callable[[], Awaitable[None]]) -> None:
        """Send a message; it is lost if the nodes are cut off from each other."""
        if receiver in self.buses and frozenset({sender, receiver}) not in self.cut:
            self.in_flight.append(InFlight(sender, receiver, arrive))

    async def deliver(self, message: InFlight) -> None:
        """Let a message arrive, unless its receiver was killed."""
        if message.receiver in self.buses:
            await message.arrive()

    def heartbeat(self) -> None:
        """Let all nodes that are not cut off hear each other's number of casts."""
        for receiver in self.buses.values():
            for sender in self.buses.values():
                is_cut = frozenset({sender.node, receiver.node}) in self.cut
                if receiver is not sender and not is_cut:
                    receiver.hear(sender.node, sender.seq)

    def kill(self, node: int) -> None:
        """End a node; the others notice later."""
        self.buses.pop(node).pending.clear()

    def lost(self, node: int) -> list[int]:
        """The nodes that this one takes for up and cannot hear."""
        return [
            other
            for other in self.buses[node].seqs
            if other not in self.buses or frozenset({node, other}) in self.cut
        ]


class SimulatedBus:
    """A Bus on a Network."""

    def __init__(self, network: Network, node: int) -> None:
        self.node = node
        self.seq = 0
        self.seqs: dict[int, int] = {}
        self.pending: dict[int, tuple[int, asyncio.Future[Any], Callable[[bytes], Any]]] = {}
        self._network = network
        self._last_call = 0
        self._listeners: list[NodeListener] = []
        self._casts: dict[str, CastHandler] = {}
        self._calls: dict[str, CallHandler] = {}
        network.buses[node] = self

    @property
    def seam(self) -> Any:
        """This as a Bus: it has what presence needs of one."""
        return self

    def listen(self, listener: NodeListener) -> None:
        """See Bus."""
        self._listeners.append(listener)

    def on_cast(self, kind: str, handler: CastHandler) -> None:
        """See Bus."""
        self._casts[kind] = handler

    def on_call(self, kind: str, handler: CallHandler) -> None:
        """See Bus."""
        self._calls[kind] = handler

    def cast(self, kind: str, body: bytes) -> None:
        """See Bus."""
        self.seq += 1
        for other in self._network.buses.values():
            if other is not self:
                self._network.send(self.node, other.node, other.cast_arrival(self, kind, body))

    async def call(
        self,
        node: int,
        kind: str,
        body: bytes = b"",
        *,
        on_reply: Callable[[bytes], Any],
        timeout_s: float | None = None,
    ) -> Any:
        """See Bus."""
        self._last_call = number = self._last_call + 1
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.pending[number] = (node, result, on_reply)

        async def arrive() -> None:
            other = self._network.buses[node]
            reply = await other._calls[kind](self.node, body)
            self._network.send(node, self.node, lambda: self._reply(number, reply))

        self._network.send(self.node, node, arrive)
        try:
            return await result
        finally:
            self.pending.pop(number, None)

    async def _reply(self, number: int, reply: bytes) -> None:
        _node, result, on_reply = self.pending.get(number, (0, None, None))
        if result is not None and on_reply is not None and not result.done():
            result.set_result(on_reply(reply))

    def cast_arrival(
        self, sender: SimulatedBus, kind: str, body: bytes
    ) -> Callable[[], Awaitable[None]]:
        """What happens when the cast that `sender` sends now arrives here."""
        seq = sender.seq

        async def arrive() -> None:
            if sender.node not in self.seqs:
                return  # it was not heard yet, or is taken for dead
            self.hear(sender.node, max(seq - 1, self.seqs[sender.node]))
            self.seqs[sender.node] = max(seq, self.seqs[sender.node])
            self._casts[kind](sender.node, body)

        return arrive

    def hear(self, node: int, seq: int) -> None:
        """Handle the number of casts of another node."""
        if node not in self.seqs:
            self.seqs[node] = seq
            for listener in self._listeners:
                listener.up(node)
        elif self.seqs[node] != seq:
            self.seqs[node] = seq
            for listener in self._listeners if self._network.tells_gaps else ():
                listener.gap(node)

    def lose(self, node: int) -> None:
        """Take another node for dead."""
        del self.seqs[node]
        self.time_out(node)
        for listener in self._listeners:
            listener.down(node)

    def time_out(self, *nodes: int) -> None:
        """Fail the calls of some nodes, or all."""
        for node, result, _on_reply in tuple(self.pending.values()):
            if (node in nodes or not nodes) and not result.done():
                result.set_exception(CallError("no reply"))
