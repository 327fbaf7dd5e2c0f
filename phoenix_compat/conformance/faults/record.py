"""What a client did and what was done to it: numbered, timed, and bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from phoenix_compat.protocol import jason

MAX_ENTRIES: Final = 2_000
_MAX_PAYLOAD_BYTES: Final = 1_024
_MAX_TEXT: Final = 300
_TEXTS: Final = frozenset({"topic", "event", "note"})


class Kind(StrEnum):
    """What an entry tells of."""

    ATTEMPT = "attempt"
    """The client asked for a websocket; every connection begins with one."""
    REFUSED = "refused"
    """It got this HTTP status instead, 0 for a reset connection."""
    OPENED = "opened"
    """It got a websocket."""
    RECEIVED = "received"
    """A message of the client."""
    UNREADABLE = "unreadable"
    """A frame of the client that is no message; the connection ends with 1011."""
    SENT = "sent"
    """A message to the client."""
    STRUCK = "struck"
    """A fault of this name struck."""
    PING = "ping"
    """A websocket ping of the client."""
    PONG = "pong"
    """A websocket pong of the client."""
    CLOSING = "closing"
    """The server sent a close frame with this code."""
    CLIENT_CLOSED = "client closed"
    """The client sent a close frame with this code."""
    ENDED = "ended"
    """The connection is over; code 0 when the server reset it."""
    HEARD = "heard"
    """What the app above the client says that it heard."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a record.

    Attributes:
        number: counts from 1 within a record.
        at_s: seconds since the record began.
        connection: counts the client's attempts from 1; 0 where there is none.
        payload: shortened to a note of its size when it is too large to keep.
        code: a close code or an HTTP status.
        note: the name of a fault, or words about it.
    """

    number: int
    at_s: float
    kind: Kind
    connection: int = 0
    topic: str = ""
    event: str = ""
    join_ref: Any = None
    ref: Any = None
    payload: Any = None
    code: int = 0
    note: str = ""

    def __str__(self) -> str:
        """One line for people: `#12 +1.250s [2] received fault:drop phx_join …`."""
        head = f"#{self.number} +{self.at_s:.3f}s [{self.connection}] {self.kind}"
        said = [self.note, self.topic, self.event, str(self.code or "")]
        if self.ref is not None or self.join_ref is not None:
            said.append(f"join_ref={self.join_ref} ref={self.ref}")
        if self.payload is not None:
            said.append(jason.encode(self.payload).decode("utf-8", "replace")[:200])
        return " ".join((head, *(word for word in said if word)))

    def to_json(self) -> Mapping[str, Any]:
        """The entry as an object, without what says nothing."""
        fields = asdict(self)
        always = {"number", "at_s", "kind"}
        return {k: v for k, v in fields.items() if k in always or v not in (None, "", 0)}


class Record:
    """The entries of one lane, oldest first; those beyond `max_entries` are only counted.

    Attributes:
        lost: how many came when it was full.
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

    def note(self, kind: Kind, connection: int = 0, **fields: Any) -> None:
        """Add an entry; the fields are those of Entry."""
        if len(self.entries) >= self._max_entries:
            self.lost += 1
            return
        for name, value in fields.items():
            fields[name] = _text(value) if name in _TEXTS else _kept(value)
        number = len(self.entries) + 1
        self.entries.append(Entry(number, round(self.now_s, 4), kind, connection, **fields))


def _text(value: Any) -> str:
    """A text that can be written: shortened, and without what is no UTF-8."""
    return str(value)[:_MAX_TEXT].encode("utf-8", "replace").decode()


def _kept(payload: Any) -> Any:
    """A payload or a ref, unless it is too large."""
    if isinstance(payload, str):
        return _text(payload)
    if isinstance(payload, bytes | bytearray | memoryview):
        return {"bytes": len(payload)}
    size = len(jason.encode(payload))
    return payload if size <= _MAX_PAYLOAD_BYTES else {"too_large_to_keep_bytes": size}
