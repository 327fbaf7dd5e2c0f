"""Keeps the fault sessions of all clients: each has its own armed faults and its own record.

The control API and the URLs call a session a `lane`.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from phoenix_compat.conformance.faults.link import Framing, Link
from phoenix_compat.conformance.faults.plan import Fault
from phoenix_compat.conformance.faults.record import EntryKind, Record
from phoenix_compat.conformance.faults.table import FAULTS
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.protocol.frame import CLOSE_PROTOCOL_ERROR, CLOSE_SERVICE_RESTART

DEFAULT_CLIENT: Final = "default"
DEFAULT_SESSION: Final = "main"
MAX_SESSIONS: Final = 300
_MAX_TOPICS: Final = 1_000
_MAX_TOKENS: Final = 1_000
_FORBIDDEN: Final = 403
_UNAVAILABLE: Final = 503

RESET: Final = 0
"""In place of an HTTP status: reset the connection without an answer."""


class TooManyError(PhoenixCompatError):
    """A limit of the fault server is reached; the message says which one and what to do."""


class ClientConnection(Protocol):
    """One connection of a client, as its session sees it."""

    link: Link

    def strike_topic(self, topic: str, fault: Fault) -> None:
        """Let a fault strike a joined topic now."""

    def app_did(self, action: object) -> None:
        """The app reports that it has done what the event `do` asked for."""


@dataclass(slots=True)
class _Countdown:
    """A close code or HTTP status for the next `left` connections."""

    code: int = 0
    left: int = 0

    def take(self) -> int | None:
        """The code for the next connection, or None when the count is used up."""
        if self.left == 0:
            return None
        self.left -= 1
        return self.code


@dataclass(frozen=True, slots=True)
class Attempt:
    """A client's request for a websocket.

    Attributes:
        number: from 1.
        token: a digest of its token, so that no token is kept; empty if it has none.
        refusal: the HTTP status to refuse it with, RESET, or None.
    """

    number: int
    token: bytes
    refusal: int | None


class FaultSession:
    """One session of a client: its armed faults, its record and its open connections.

    Attributes:
        connections: the connections that are open now.
    """

    def __init__(self, client: str, name: str, clock: Callable[[], float]) -> None:
        self.client = client
        self.name = name
        self.record = Record(clock)
        self.connections: list[ClientConnection] = []
        self._clock = clock
        self._attempts = 0
        self._armed: dict[str, Fault] = {}
        self._struck: Counter[tuple[str, str]] = Counter()
        self._joins: Counter[str] = Counter()
        self._refusals = _Countdown()
        self._closings = _Countdown()
        self._down_until_s = 0.0
        self._tokens: dict[bytes, int] = {}
        self._expired: bytes = b""

    @property
    def armed(self) -> dict[str, Fault]:
        """The faults armed for topics."""
        return dict(self._armed)

    # Connections.

    def attempt(self, token: str = "") -> Attempt:
        """Count a request for a websocket, and decide whether it is refused."""
        self._attempts += 1
        number = self._attempts
        digest = hashlib.blake2b(token.encode(), digest_size=16).digest() if token else b""
        self.record.note(EntryKind.ATTEMPT, number, note=self._name_token(digest))
        status = RESET if self._clock() < self._down_until_s else self._refusals.take()
        if status is None and digest and digest == self._expired:
            status = _FORBIDDEN
        if status is not None:
            self.record.note(EntryKind.REFUSED, number, code=status)
        return Attempt(number, digest, status)

    def _name_token(self, token: bytes) -> str:
        """`token 1` for the first token of the session, and so on; empty without a token."""
        if not token:
            return ""
        if token not in self._tokens and len(self._tokens) >= _MAX_TOKENS:
            return "another token"
        return f"token {self._tokens.setdefault(token, len(self._tokens) + 1)}"

    def code_at_once(self) -> int | None:
        """The code with which to close the connection that was just opened, if any."""
        return self._closings.take()

    # Faults.

    def fault_of(self, topic: str) -> Fault:
        """The fault armed for a topic, or the one that the topic names. Raises FaultError."""
        return self._armed.get(topic) or FAULTS.from_topic(topic)

    def times_struck(self, topic: str, fault: Fault) -> int:
        """How often a fault has struck a topic in this session."""
        return self._struck[topic, fault.name]

    def count_join(self, topic: str) -> int:
        """Count a join of a topic, from 1. Raises TooManyError when there are too many topics."""
        if topic not in self._joins and len(self._joins) >= _MAX_TOPICS:
            raise TooManyError(f"at most {_MAX_TOPICS} topics in a session; DELETE /control/record")
        self._joins[topic] += 1
        return self._joins[topic]

    def count_strike(self, topic: str, fault: Fault, link: Link) -> None:
        """Count and record that a fault strikes a topic."""
        self._struck[topic, fault.name] += 1
        self.record.note(EntryKind.STRUCK, link.number, topic=topic, note=fault.name)

    def arm(self, topic: str, fault: Fault) -> None:
        """Let a fault strike a topic from now on, up to its `times`.

        If the topic is joined and the fault ends a channel or a connection, it strikes at once.

        Raises:
            TooManyError: faults are armed for too many topics.
        """
        if topic not in self._armed and len(self._armed) >= _MAX_TOPICS:
            raise TooManyError(f"at most {_MAX_TOPICS} topics can be armed; DELETE /control/faults")
        self._armed[topic] = fault
        self._struck.pop((topic, fault.name), None)
        for connection in tuple(self.connections):
            connection.strike_topic(topic, fault)

    def disarm(self) -> None:
        """Remove every fault that is armed for topics or for the next connections."""
        self._armed.clear()
        self._refusals, self._closings = _Countdown(), _Countdown()
        self._down_until_s = 0.0
        self._expired = b""

    def strike(self, fault: Fault) -> None:
        """Let a fault that needs no topic strike all connections, or the next ones."""
        links = [connection.link for connection in self.connections]
        if not links or fault.name in {"refuse_upgrades", "close_at_once"}:
            self.record.note(EntryKind.STRUCK, note=fault.name)
            self.strike_server(fault)
            return
        for link in links:
            link.later(fault.after_s, self._record_and_strike, fault, link)

    def _record_and_strike(self, fault: Fault, link: Link) -> None:
        self.record.note(EntryKind.STRUCK, link.number, note=fault.name)
        self.strike_link(fault, link)

    def strike_link(self, fault: Fault, link: Link) -> None:
        """Let a fault strike one connection; faults of the server affect the whole session."""
        match fault.name:
            case "close":
                link.close(fault.code)
            case "drop":
                link.drop()
            case "silent_heartbeat":
                link.ignores_heartbeats = True
            case "half_open":
                link.is_unresponsive = True
            case "fragment":
                link.framing = Framing.FRAGMENTS
            case "split":
                link.framing = Framing.SEGMENTS
            case "ping":
                link.ping(b"are you there?")
            case "background":
                link.close(CLOSE_PROTOCOL_ERROR)
            case "expired_token" | "offline_join" | "offline_push" | "quick_leave":
                self._keep_away(fault, link)
                link.drop()
            case _:
                self.strike_server(fault)

    def _keep_away(self, fault: Fault, link: Link) -> None:
        """Decide which of the next connections are refused."""
        times = fault.times or 0
        match fault.name:
            case "expired_token":
                self._expired = link.token
                self._refusals = _Countdown(_FORBIDDEN, times)
            case "offline_join":
                self._refusals = _Countdown(_UNAVAILABLE, times)
            case "offline_push":
                self._down_until_s = self._clock() + fault.value
            case _:
                pass  # the client may connect again at once

    def strike_server(self, fault: Fault) -> None:
        """Let a fault strike the server, for this session only."""
        times = fault.times or 0
        links = [connection.link for connection in self.connections]
        match fault.name:
            case "restart":
                self._down_until_s = self._clock() + fault.value
                for link in links:
                    link.close(CLOSE_SERVICE_RESTART)
            case "outage":
                self._refusals = _Countdown(fault.code, times)
                for link in links:
                    link.drop()
            case "flap":
                self._closings = _Countdown(fault.code, times)
                for link in links:
                    link.close(fault.code)
            case "refuse_upgrades":
                self._refusals = _Countdown(fault.code, times)
            case "close_at_once":
                self._closings = _Countdown(fault.code, times)
            case _:
                pass  # a fault for connections, and none is open

    def heard(self, payload: Any, topic: str = "") -> None:
        """Record what the app reports to have received."""
        self.record.note(EntryKind.HEARD, topic=topic, payload=payload)
        if isinstance(payload, dict) and "done" in payload:
            for connection in tuple(self.connections):
                connection.app_did(payload["done"])


class FaultSessions:
    """The sessions of all clients.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[tuple[str, str], FaultSession] = {}

    def session(self, client: str = DEFAULT_CLIENT, name: str = DEFAULT_SESSION) -> FaultSession:
        """Get a session; it is created on first use. Raises TooManyError."""
        session = self._sessions.get((client, name))
        if session is None:
            if len(self._sessions) >= MAX_SESSIONS:
                raise TooManyError(f"at most {MAX_SESSIONS} sessions; DELETE /control/record")
            session = self._sessions[client, name] = FaultSession(client, name, self._clock)
        return session

    @property
    def clients(self) -> list[str]:
        """The names of all clients with a session."""
        return sorted({client for client, _name in self._sessions})

    def sessions_of(self, client: str) -> list[FaultSession]:
        """The sessions of one client."""
        return [session for (name, _session), session in self._sessions.items() if name == client]

    def all_sessions(self) -> Iterator[FaultSession]:
        """Every session."""
        yield from tuple(self._sessions.values())

    def forget(self, client: str | None = None, name: str | None = None) -> None:
        """Reset and delete one session, all of a client, or all; None matches every name."""
        for session in self.all_sessions():
            if client in {None, session.client} and name in {None, session.name}:
                for connection in tuple(session.connections):
                    connection.link.reset()
                del self._sessions[session.client, session.name]
