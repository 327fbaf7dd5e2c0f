"""The other nodes of a BrokerBus: who is up, what they do, and what they say, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

from phoenix_compat.cluster.brokers.messages import Bye, Cast, Hello, Received, Reply
from phoenix_compat.cluster.brokers.peer import Peer
from phoenix_compat.cluster.bus import BusCounts
from phoenix_compat.cluster.handlers import Handlers, PendingCalls

log = logging.getLogger(__name__)

MAX_NODES: Final = 1_000
"""The limit of nodes that one node knows; further ones are ignored."""
_LOG_EVERY_S: Final = 60.0


class Peers:
    """Keeps the other nodes that are up, and calls the handlers for what they say.

    Args:
        on_removed: called with a node that is down, before the listeners.
    """

    def __init__(
        self,
        handlers: Handlers,
        calls: PendingCalls,
        counts: BusCounts,
        on_removed: Callable[[int], None],
    ) -> None:
        self._handlers = handlers
        self._calls = calls
        self._counts = counts
        self._on_removed = on_removed
        self._peers: dict[int, Peer] = {}
        self._left: dict[int, int] = {}

    def __contains__(self, node: int) -> bool:
        return node in self._peers

    @property
    def is_full(self) -> bool:
        """Whether no further node can be known."""
        return len(self._peers) >= MAX_NODES

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._peers))

    def has_roles(self, node: int) -> bool:
        """Whether a node that is up has a role."""
        return bool(self._peers[node].roles)

    def holder(self, role: str) -> int | None:
        """A node with a role."""
        return next((node for node, peer in self._peers.items() if role in peer.roles), None)

    def has_reconnected(self) -> None:
        """Note that this node may have missed something of each other node."""
        for peer in self._peers.values():
            peer.is_resynced = False

    def remove_silent(self, since: float) -> None:
        """Remove the nodes that were last heard before a time."""
        for node in self:
            if self._peers[node].heard_at < since:
                self.remove(node, "was not heard any more")

    def remove(self, node: int, reason: str = "has left") -> None:
        """Remove a node: it is down."""
        peer = self._peers.pop(node)
        peer.stop_holding()
        self._on_removed(node)
        self._calls.fail(node, f"node {node} {reason}")
        log.info("%s %s: it is down", peer.name, reason)
        self._handlers.notify("down", node)
        if peer.roles:
            self._handlers.notify("roles_changed", node)

    def handle(self, received: Received, now: float, *, is_to_all: bool) -> bool:
        """Handle a message; calls are not for this class.

        Args:
            now: the time, for `remove_silent`.
            is_to_all: whether it came in the order of the casts.

        Returns:
            Whether its node is up now.
        """
        node, epoch, message = received
        if epoch <= self._left.get(node, -1):
            return False  # late, from a connection that was given up
        peer = self._peers.get(node)
        if peer is not None and epoch != peer.epoch:
            if epoch < peer.epoch:
                return True  # said before it was opened again
            self.remove(node, "was restarted")
            peer = None
        if isinstance(message, Bye):
            self._left[node] = epoch
            if len(self._left) > MAX_NODES:
                del self._left[next(iter(self._left))]
            if peer is not None:
                self.remove(node)
            return False
        if peer is None:
            if not isinstance(message, Hello | Cast) or self.is_full:
                return False
            peer = self._introduce(node, epoch, message, now)
        peer.heard_at = now
        if isinstance(message, Cast):
            self._handle_cast(node, peer, message)
        elif isinstance(message, Reply):
            self._handle_reply(node, peer, message)
        elif isinstance(message, Hello):
            self._handle_hello(node, peer, message, is_to_all=is_to_all)
        return True

    def _introduce(self, node: int, epoch: int, message: Hello | Cast, now: float) -> Peer:
        seq = message.seq - isinstance(message, Cast)
        peer = self._peers[node] = Peer(epoch, seq, now)
        if isinstance(message, Hello):
            peer.name = message.name
        log.info("%s is up", peer.name)
        self._handlers.notify("up", node)
        return peer

    def _handle_hello(self, node: int, peer: Peer, hello: Hello, *, is_to_all: bool) -> None:
        if hello.number < peer.hello:
            return
        peer.hello = hello.number
        peer.name = hello.name
        if is_to_all or not peer.is_resynced:  # one to this node alone says nothing about casts
            self._advance(node, peer, hello.seq)
        if peer.roles != frozenset(hello.roles):
            peer.roles = frozenset(hello.roles)
            self._handlers.notify("roles_changed", node)

    def _handle_cast(self, node: int, peer: Peer, cast: Cast) -> None:
        if peer.is_resynced and cast.seq <= peer.seq:
            return  # it counts as missing
        self._counts.received += 1
        self._advance(node, peer, cast.seq - 1)
        peer.seq = cast.seq
        self._handlers.handle_cast(node, cast.kind, cast.body)
        self._deliver_held(node, peer)

    def _handle_reply(self, node: int, peer: Peer, reply: Reply) -> None:
        if peer.hold(reply, lambda: self._stop_holding(node, peer)):
            return
        self._advance(node, peer, reply.seq)
        self._calls.resolve(node, reply.number, reply.body, reply.error)

    def _stop_holding(self, node: int, peer: Peer) -> None:
        peer.stop_holding()
        if peer.held:
            self._advance(node, peer, peer.held[-1].seq)

    def _advance(self, node: int, peer: Peer, seq: int) -> None:
        """Report a gap if casts up to a number are missing."""
        if peer.misses(seq):
            self._counts.gaps += 1
            if peer.heard_at - peer.gap_logged_at >= _LOG_EVERY_S:
                peer.gap_logged_at = peer.heard_at
                log.info("%s: casts are missing; what depends on them is read again", peer.name)
            self._handlers.notify("gap", node)
            self._deliver_held(node, peer)

    def _deliver_held(self, node: int, peer: Peer) -> None:
        if peer.held:
            for reply in peer.take_held():
                self._calls.resolve(node, reply.number, reply.body, reply.error)
