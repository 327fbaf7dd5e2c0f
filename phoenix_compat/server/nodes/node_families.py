"""The metrics of a node among others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from phoenix_compat.server.metrics.families import Family, counters, gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNumbers:
    """What a node knows of itself and of the others.

    Attributes:
        up: how many nodes are up, with this one.
        is_deaf: whether it hears nothing from the bus.
        skew_s: how far its clock is ahead of that of the database, in seconds.
        hints: what was told, heard, and read again, by what it is.
    """

    up: int = 1
    is_deaf: bool = False
    skew_s: float = 0.0
    hints: Mapping[str, int] = field(default_factory=dict)


def node_families(numbers: NodeNumbers) -> list[Family]:
    """The metrics of a node among others."""
    return [
        gauge("nodes_up", "Nodes that this one hears, itself included.", numbers.up),
        gauge("bus_deaf", "1 while this node hears nothing from the bus.", float(numbers.is_deaf)),
        gauge(
            "clock_skew_seconds",
            "How far this machine's clock is ahead of the database's.",
            numbers.skew_s,
        ),
        counters(
            "node_hints",
            "Hints between nodes, and what was read again because one may have been lost.",
            ("kind",),
            (((kind,), count) for kind, count in numbers.hints.items()),
        ),
    ]
