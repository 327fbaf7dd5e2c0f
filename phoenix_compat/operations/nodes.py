"""Lists the nodes of a server: those that the database knows, and those that the bus hears."""

from __future__ import annotations

import msgspec

from phoenix_compat.cluster.brokers.listening import overhear
from phoenix_compat.errors import ConfigError
from phoenix_compat.server.database import open_store
from phoenix_compat.server.nodes.buses import make_broker
from phoenix_compat.server.nodes.node_id import number_of
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.model.clock import parse_time
from phoenix_compat.tasks.store.database import Row
from phoenix_compat.tasks.store.leases.lease_store import SEEN_WITHIN_S, LeaseStore, Node
from phoenix_compat.version import __version__


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """A node.

    Attributes:
        state: "up"; "deaf", it hears nothing from the bus; "silent", the bus does not hear it; or
            "gone", the database has not seen it for half a minute.
        running: tasks that it said it runs; leases: tasks that are its own by the database.
        seen_s: how long ago it was seen, in seconds.
        up_s: how long it has run, in seconds.
    """

    id: str
    name: str
    version: str
    url: str | None
    state: str
    running: int
    leases: int
    seen_s: float
    up_s: float


class NodeList(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes.

    Attributes:
        is_bus_heard: whether this command has heard the bus; else no node is "silent".
    """

    nodes: list[NodeState]
    is_bus_heard: bool


async def list_nodes(settings: Settings) -> NodeList:
    """Ask the database and the bus.

    Raises:
        ConfigError: these settings have no shared database, or a driver is not installed.
        StoreOpenError, StoreUnavailableError: it cannot be asked.
    """
    if not settings.is_shared:
        raise ConfigError(
            "database_url: is not set, so this server is alone; see docs/nodes.md for several"
        )
    async with await open_store(settings) as store:
        up = await overhear(make_broker(settings), settings.bus_prefix)
        leases = LeaseStore(store, Node("", "", __version__), store.clock)
        rows = await leases.nodes()
    return NodeList(nodes=[_state(row, up) for row in rows], is_bus_heard=up is not None)


def _state(row: Row, up: frozenset[int] | None) -> NodeState:
    """What a row of `nodes` says, and the bus, if it is heard."""
    now, seen_at = parse_time(row["now"]), parse_time(row["seen_at"])
    seen_s = max((now - seen_at).total_seconds(), 0.0)
    state = "up"
    if seen_s > SEEN_WITHIN_S:
        state = "gone"
    elif row["deaf"]:
        state = "deaf"
    elif up is not None and number_of(row["id"]) not in up:
        state = "silent"
    return NodeState(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        url=row["url"],
        state=state,
        running=row["running"],
        leases=row["leases"],
        seen_s=round(seen_s, 1),
        up_s=round((now - parse_time(row["started_at"])).total_seconds(), 1),
    )
