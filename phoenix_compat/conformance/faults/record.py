"""Records what a client does and what the server does to it: numbered, timed and bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from phoenix_compat.protocol import jason

MAX_ENTRIES: Final = 2_000
_MAX_PAYLOAD_BYTES: Final = 1_024
_MAX_TEXT_CHARS: Final = 300
_TEXT_FIELDS: Final = frozenset({"topic", "event", "note"})


class EntryKind(StrEnum):
    """What an entry is about."""

    ATTEMPT = "attempt"
    """The client requested a websocket; every connection begins with this."""
    REFUSED = "refused"
    """The upgrade was refused with this HTTP status; 0 means that the connection was reset."""
    OPENED = "opened"
    """The websocket was opened."""
    RECEIVED = "received"
    """A message from the client."""
    UNREADABLE = "unreadable"
    """A frame from the client that is not a valid message; the connection is closed with 1011."""
    SENT = "sent"
    """A message to the client."""
    STRUCK = "struck"
    """A fault with this name struck."""
    PING = "ping"
    """A websocket ping from the client."""
    PONG = "pong"
    """A websocket pong from the client."""
    CLOSING = "closing"
    """The server sent a close frame with this code."""
    CLIENT_CLOSED = "client closed"
    """The client sent a close frame with this code."""
    ENDED = "ended"
    """The connection has ended; the note says if the server reset it."""
    HEARD = "heard"
    """What the app reports to have received."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a record.

    Attributes:
        number: the position in the record, from 1.
        at_s: seconds since the record began.
        connection: the number of the client's attempt to connect, from 1; 0 if there is none.
        payload: the JSON payload; only its size if it is too large.
        code: a close code or an HTTP status.
        note: the name of a fault, or an explanation.
    """

    number: int
    at_s: float
    kind: EntryKind
    connection: int = 0
    topic: str = ""
    event: str = ""
    join_ref: Any = None
    ref: Any = None
    payload: Any = None
    code: int = 0
    note: str = ""

    def __str__(self) -> str:
        """One line of text: `#12 +1.250s [2] received fault:drop phx_join …`."""
        head = f"#{self.number} +{self.at_s:.3f}s [{self.connection}] {self.kind}"
        words = [self.note, self.topic, self.event, str(self.code or "")]
        if self.ref is not None or self.join_ref is not None:
            words.append(f"join_ref={self.join_ref} ref={self.ref}")
        if self.payload is not None:
            words.append(jason.encode(self.payload).decode("utf-8", "replace")[:200])
        return " ".join((head, *(word for word in words if word)))

    def to_json(self) -> Mapping[str, Any]:
        """The entry as a JSON object, without empty fields."""
        fields = asdict(self)
        always = {"number", "at_s", "kind"}
        return {k: v for k, v in fields.items() if k in always or v not in (None, "", 0)}


class Record:
    """The entries of one session, oldest first; once it is full, further entries are only counted.

    Attributes:
        lost: how many entries came after `max_entries`.
    """

    def __init__(self, clock: Callable[[], float], max_entries: int = MAX_ENTRIES) -> None:
        self._clock = clock
        self._began_s = clock()
        self._max_entries = max_entries
        self.entries: list[Entry] = []
        self.lost = 0

    @property
    def now_s(self) -> float:
        """Seconds since the record began."""
        return self._clock() - self._began_s

    def note(self, kind: EntryKind, connection: int = 0, **fields: Any) -> None:
        """Add an entry; the fields are those of Entry."""
        if len(self.entries) >= self._max_entries:
            self.lost += 1
            return
        for name, value in fields.items():
            fields[name] = _text(value) if name in _TEXT_FIELDS else _bounded(value)
        number = len(self.entries) + 1
        self.entries.append(Entry(number, round(self.now_s, 4), kind, connection, **fields))


def _text(value: Any) -> str:
    """Text that can be stored: shortened, and valid UTF-8."""
    return str(value)[:_MAX_TEXT_CHARS].encode("utf-8", "replace").decode()


def _bounded(payload: Any) -> Any:
    """A payload or a ref, or its size if it is too large."""
    if isinstance(payload, str):
        return _text(payload)
    if isinstance(payload, bytes | bytearray | memoryview):
        return {"bytes": len(payload)}
    size = len(jason.encode(payload))
    return payload if size <= _MAX_PAYLOAD_BYTES else {"too_large_to_keep_bytes": size}
