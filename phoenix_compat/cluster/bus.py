"""The seam between a server and what connects its nodes: processes of one machine, or of many.

Each process is a node. The messages of one node arrive in order. There are three kinds:

    cast(kind, body)          to all other nodes; may be lost, which the receiver detects as a gap
    call(node, kind, body)    to one node, which replies with a result or an error
    take_role(role)           announces what one node does for all

Listeners get `gap` when casts are missing, and `up` when a node has started or returned. A
component with a copy of the node's state then reads it again by a call. The reply arrives after all
earlier casts, so the copy is consistent.

UnixBus connects the processes of one machine. BrokerBus connects nodes anywhere, through a server
that passes their messages on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeAlias, TypeVar

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.errors import PhoenixCompatError

T = TypeVar("T")

MAX_QUEUE_BYTES: Final = 16 * 2**20
MAX_MESSAGE_BYTES: Final = 64 * 2**20
"""The limit of one message with its kind; a longer one is dropped, which is a gap."""
MAX_CALLS: Final = 10_000
"""The limit of concurrent calls; a long-poll request that waits at another node is one."""
CALL_TIMEOUT_S: Final = 5.0
CATCH_UP_S: Final = 5.0
"""How long a start waits for a node that is there but does not answer."""

CastHandler: TypeAlias = Callable[[int, bytes], None]
"""Called with the node and the body of each cast of a kind. Must not block."""
CallHandler: TypeAlias = Callable[[int, bytes], Awaitable[bytes]]
"""Returns the reply to a call. A change that the reply includes must have been cast before it."""


class CallError(PhoenixCompatError):
    """A call failed: the node has ended, does not reply in time, or refuses the call."""


@dataclass(slots=True)
class BusCounts:
    """Counters of a bus since it was created.

    Attributes:
        casts: sent casts; each counts once, regardless of the number of nodes.
        received: received casts.
        dropped: messages that were not sent, because a queue was full, the node was not up, or
            there was no connection.
        gaps: how often casts of another node were missing.
        connects: connections that were opened: to other nodes, or to the broker.
        broken: streams and messages with invalid content.
        late: starts that stopped waiting for the state of the other nodes.
        deaf: how often this node did not hear itself through the broker.
    """

    casts: int = 0
    received: int = 0
    dropped: int = 0
    gaps: int = 0
    connects: int = 0
    broken: int = 0
    late: int = 0
    deaf: int = 0


class Bus(Protocol):
    """One node's end of the bus; open within an `async with` block.

    Handlers and listeners may be registered before it opens. A cast without a handler is ignored.
    """

    @property
    def node(self) -> int:
        """The number of this node, which no other node that is up has."""

    @property
    def counts(self) -> BusCounts:
        """See BusCounts."""

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The tasks that maintain the connections; empty before the bus is open."""

    @property
    def is_deaf(self) -> bool:
        """Whether this node cannot hear the others at the moment, although it runs."""

    async def __aenter__(self) -> Self:
        """Open the bus; it connects in the background."""

    async def __aexit__(self, *exc_info: object) -> None:
        """Leave the other nodes, and remove all listeners."""

    @property
    def up(self) -> frozenset[int]:
        """The other nodes that are up."""

    async def catch_up(self, timeout_s: float = CATCH_UP_S) -> bool:
        """Wait until the nodes that are up hear each other, and for copies of their state.

        Call it before serving clients, or they miss what other nodes broadcast meanwhile. A node
        that starts later waits for us. Returns False if a node did not answer in time.
        """

    def listen(self, listener: NodeListener) -> None:
        """Add a listener. It is called at once for the nodes that are up, and for their roles."""

    def take_role(self, role: str) -> None:
        """Take a role and announce it to all nodes."""

    def drop_role(self, role: str) -> None:
        """Drop a role and announce it to all nodes."""

    def holder(self, role: str) -> int | None:
        """The node with a role, preferably this one; None if no node is known to have it."""

    def cast(self, kind: str, body: bytes) -> None:
        """Send a message to every other node; never waits. A node that misses it detects a gap."""

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
            timeout_s: how long to wait for the reply; CALL_TIMEOUT_S by default.

        Returns:
            The result of `on_reply`.

        Raises:
            CallError: the call failed; the message says why.
        """

    def on_cast(self, kind: str, handler: CastHandler) -> None:
        """Set the handler for casts of a kind."""

    def on_call(self, kind: str, handler: CallHandler) -> None:
        """Set the handler for calls of a kind."""
