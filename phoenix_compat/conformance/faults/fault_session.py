"""The lanes of the fault server: playgrounds of a client, each with its faults and its record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from phoenix_compat.conformance.faults.link import Link, Shape
from phoenix_compat.conformance.faults.plan import Fault
from phoenix_compat.conformance.faults.record import Kind, Record
from phoenix_compat.conformance.faults.table import FAULTS
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.protocol.frame import CLOSE_SERVICE_RESTART

DEFAULT_CLIENT: Final = "default"
DEFAULT_LANE: Final = "main"
MAX_LANES: Final = 300
_MAX_TOPICS: Final = 1_000

RESET: Final = 0
"""Instead of an HTTP status: the connection is reset without an answer."""


class TooManyError(PhoenixCompatError):
    """A bound of the fault server is reached; the text says which and what to do."""


class Visitor(Protocol):
    """A connected client, as its lane sees it."""

    link: Link

    def strike_topic(self, topic: str, fault: Fault) -> None:
        """Let a fault strike a joined topic now."""


@dataclass(slots=True)
class _Spell:
    """What happens to the next connections: this code or status, so many times."""

    code: int = 0
    left: int = 0

    def take(self) -> int | None:
        """The code for the next one, or None when it is spared."""
        if self.left == 0:
            return None
        self.left -= 1
        return self.code


class FaultSession:
    """One fault sessions of a client.

    Attributes:
        visitors: those connected now.
    """

    def __init__(self, client: str, name: str, clock: Callable[[], float]) -> None:
        self.client = client
        self.name = name
        self.record = Record(clock)
        self.visitors: list[Visitor] = []
        self._clock = clock
        self._attempts = 0
        self._armed: dict[str, Fault] = {}
        self._struck: Counter[tuple[str, str]] = Counter()
        self._joins: Counter[str] = Counter()
        self._refusals = _Spell()
        self._closings = _Spell()
        self._down_until_s = 0.0

    @property
    def armed(self) -> dict[str, Fault]:
        """The faults armed for topics."""
        return dict(self._armed)

    # Connections.

    def attempt(self) -> tuple[int, int | None]:
        """A client asks for a websocket: its number, and the status that refuses it, if any."""
        self._attempts += 1
        number = self._attempts
        self.record.note(Kind.ATTEMPT, number)
        status = RESET if self._clock() < self._down_until_s else self._refusals.take()
        if status is not None:
            self.record.note(Kind.REFUSED, number, code=status)
        return number, status

    def code_at_once(self) -> int | None:
        """The close code that meets the connection that was just opened, if any."""
        return self._closings.take()

    # Faults.

    def fault_of(self, topic: str) -> Fault:
        """The fault armed for a topic, or the one it names. Raises FaultError."""
        return self._armed.get(topic) or FAULTS.from_topic(topic)

    def times_struck(self, topic: str, fault: Fault) -> int:
        """How often a fault struck a topic here."""
        return self._struck[topic, fault.name]

    def count_join(self, topic: str) -> int:
        """Which join of a topic this is here, from 1. Raises TooManyError for too many topics."""
        if topic not in self._joins and len(self._joins) >= _MAX_TOPICS:
            raise TooManyError(f"at most {_MAX_TOPICS} topics in a lane; DELETE /control/record")
        self._joins[topic] += 1
        return self._joins[topic]

    def count_strike(self, topic: str, fault: Fault, link: Link) -> None:
        """Note that a fault strikes a topic."""
        self._struck[topic, fault.name] += 1
        self.record.note(Kind.STRUCK, link.number, topic=topic, note=fault.name)

    def arm(self, topic: str, fault: Fault) -> None:
        """Let a fault strike a topic, from now on and as often as it says.

        A channel or a connection that it ends is ended at once where the topic is joined.

        Raises:
            TooManyError: for more topics than can be kept.
        """
        if topic not in self._armed and len(self._armed) >= _MAX_TOPICS:
            raise TooManyError(f"at most {_MAX_TOPICS} topics can be armed; DELETE /control/faults")
        self._armed[topic] = fault
        self._struck.pop((topic, fault.name), None)
        for visitor in tuple(self.visitors):
            visitor.strike_topic(topic, fault)

    def disarm(self) -> None:
        """Forget what is armed for topics and for the next connections."""
        self._armed.clear()
        self._refusals, self._closings = _Spell(), _Spell()
        self._down_until_s = 0.0

    def strike(self, fault: Fault) -> None:
        """Let a fault that needs no topic strike all connections, those to come included."""
        links = [visitor.link for visitor in self.visitors]
        if not links or fault.name in {"refuse_upgrades", "close_at_once"}:
            self.record.note(Kind.STRUCK, note=fault.name)
            self.strike_server(fault)
            return
        for link in links:
            link.later(fault.after_s, self._strike_noted, fault, link)

    def _strike_noted(self, fault: Fault, link: Link) -> None:
        self.record.note(Kind.STRUCK, link.number, note=fault.name)
        self.strike_link(fault, link)

    def strike_link(self, fault: Fault, link: Link) -> None:
        """Let a fault strike one connection; some then reach all others of the lane."""
        match fault.name:
            case "close":
                link.close(fault.code)
            case "drop":
                link.drop()
            case "silent_heartbeat":
                link.is_silent = True
            case "half_open":
                link.is_deaf = True
            case "fragment":
                link.shape = Shape.FRAGMENTS
            case "split":
                link.shape = Shape.SEGMENTS
            case "ping":
                link.ping(b"are you there?")
            case _:
                self.strike_server(fault)

    def strike_server(self, fault: Fault) -> None:
        """Let a fault strike the server as this lane sees it."""
        times = fault.times or 0
        links = [visitor.link for visitor in self.visitors]
        match fault.name:
            case "restart":
                self._down_until_s = self._clock() + fault.value
                for link in links:
                    link.close(CLOSE_SERVICE_RESTART)
            case "outage":
                self._refusals = _Spell(fault.code, times)
                for link in links:
                    link.drop()
            case "flap":
                self._closings = _Spell(fault.code, times)
                for link in links:
                    link.close(fault.code)
            case "refuse_upgrades":
                self._refusals = _Spell(fault.code, times)
            case "close_at_once":
                self._closings = _Spell(fault.code, times)
            case _:
                pass  # a fault of connections, and there is none

    def heard(self, payload: Any, topic: str = "") -> None:
        """The app above the client says what it heard."""
        self.record.note(Kind.HEARD, topic=topic, payload=payload)


class FaultSessions:
    """All lanes of all clients.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lanes: dict[tuple[str, str], FaultSession] = {}

    def lane(self, client: str = DEFAULT_CLIENT, name: str = DEFAULT_LANE) -> FaultSession:
        """A lane, made when it is asked for first. Raises TooManyError."""
        lane = self._lanes.get((client, name))
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                raise TooManyError(f"at most {MAX_LANES} lanes are kept; DELETE /control/record")
            lane = self._lanes[client, name] = FaultSession(client, name, self._clock)
        return lane

    @property
    def clients(self) -> list[str]:
        """The clients that have been here."""
        return sorted({client for client, _name in self._lanes})

    def lanes_of(self, client: str) -> list[FaultSession]:
        """The lanes of one client."""
        return [lane for (name, _lane), lane in self._lanes.items() if name == client]

    def all_lanes(self) -> Iterator[FaultSession]:
        """Every lane."""
        yield from tuple(self._lanes.values())

    def forget(self, client: str | None = None, name: str | None = None) -> None:
        """Reset the connections of a lane, of a client, or of all, and forget them."""
        for lane in self.all_lanes():
            if client in {None, lane.client} and name in {None, lane.name}:
                for visitor in tuple(lane.visitors):
                    visitor.link.reset()
                del self._lanes[lane.client, lane.name]
