"""What a run is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

LoadKind: TypeAlias = Literal["echo", "broadcast", "both"]
LOAD_KINDS: Final[tuple[LoadKind, ...]] = get_args(LoadKind)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Connections, and messages at a steady rate.

    Attributes:
        url: the base URL of the server.
        connections: how many are opened, each joined to one topic.
        rate: how many messages all clients send in a second.
        for_s: how long they send, in seconds.
        kind: `echo`: each client sends, and gets a reply. `broadcast`: the first client of each
            topic broadcasts to all of the topic. `both`: half of the messages each.
        per_topic: how many connections share a topic.
        payload_bytes: the size of the padding in each payload.
    """

    url: str
    connections: int = 100
    rate: float = 100.0
    for_s: float = 30.0
    kind: LoadKind = "both"
    per_topic: int = 10
    payload_bytes: int = 100

    @property
    def echo_rate(self) -> float:
        """Echoes in a second, of all clients."""
        return {"echo": self.rate, "broadcast": 0.0, "both": self.rate / 2}[self.kind]

    @property
    def broadcast_rate(self) -> float:
        """Broadcasts in a second, of all topics."""
        return self.rate - self.echo_rate

    @property
    def topics(self) -> int:
        """How many topics there are."""
        return -(-self.connections // self.per_topic)
