"""Another node of a BrokerBus: which casts of it are missing, and which replies wait for them.

    cast seq        expected      the next one: it is handled
                    later         casts are missing: `gap`, then it is handled
                    earlier       it was overtaken, and counts as missing already: it is ignored
    reply           its seq       it waits until the casts up to its seq are here, or for HOLD_S;
                                  what is missing then is a gap

After a reconnect of this node nobody knows what was missed: the next message of a peer is a gap.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from phoenix_compat.cluster.brokers.messages import Reply

HOLD_S: Final = 0.5
"""How long a reply waits for casts that were published before it. Brokers keep the order, so they
have been lost, unless the broker has many servers."""
MAX_HELD: Final = 1_000


@dataclass(slots=True)
class Peer:
    """Another node that is up.

    Attributes:
        epoch: when it was opened; a later one is a restarted node.
        seq: the number of its last cast that has arrived, or counts as missing.
        heard_at: by the AttendedClock.
        is_resynced: False after a reconnect of this node, until a message comes.
        hello: the highest number of its Hellos.
        gap_logged_at: when a gap was last logged, by the AttendedClock.
        held: replies that wait for casts, in order.
        holding: ends their wait.
    """

    epoch: int
    seq: int
    heard_at: float
    name: str = "a node"
    roles: frozenset[str] = frozenset()
    is_resynced: bool = True
    hello: int = -1
    gap_logged_at: float = -math.inf
    held: deque[Reply] = field(default_factory=deque)
    holding: asyncio.TimerHandle | None = None

    def misses(self, seq: int) -> bool:
        """Note that the casts up to a number have been sent; return whether some are missing."""
        if not self.is_resynced:
            self.is_resynced = True
            self.seq = seq
            return True
        if seq > self.seq:
            self.seq = seq
            return True
        return False

    def hold(self, reply: Reply, on_timeout: Callable[[], None]) -> bool:
        """Keep a reply until the casts before it are here; False if it need not wait."""
        if self.is_resynced and reply.seq > self.seq and len(self.held) < MAX_HELD:
            self.held.append(reply)
            if self.holding is None:
                self.holding = asyncio.get_running_loop().call_later(HOLD_S, on_timeout)
            return True
        return False

    def take_held(self) -> list[Reply]:
        """The replies that need not wait any longer, in order."""
        taken = []
        while self.held and self.held[0].seq <= self.seq:
            taken.append(self.held.popleft())
        if not self.held:
            self.stop_holding()
        return taken

    def stop_holding(self) -> None:
        """Stop the timer of `hold`."""
        if self.holding is not None:
            self.holding.cancel()
            self.holding = None
