"""Keeps the last log lines of this process in memory, for operators who look at them.

Lines are kept as they are written: without secrets, escaped and bounded (see `log_lines`), after
the lines that repeat too often were left out. They are kept encoded, so that their size is known.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec
from structlog.types import EventDict, WrappedLogger

from phoenix_compat.bounded import bounded_copy, shortened
from phoenix_compat.redaction import live_secrets

MAX_LINES: Final = 1_000
MAX_BYTES: Final = 2 * 2**20
"""The limit of all kept lines together; the oldest are dropped first."""
MAX_LINE_BYTES: Final = 8 * 2**10

_MAX_TEXT_CHARS: Final = 2_000
_STANDARD: Final = frozenset({"event", "level", "logger", "timestamp"})


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One log line.

    Attributes:
        number: counts the lines of the process, from 1.
        at: the time, in ISO 8601.
        level: debug, info, warning or error.
        fields: everything else, the traceback as `exception` among it.
    """

    number: int
    at: str
    level: str
    logger: str
    event: str
    fields: Mapping[str, Any]


_encoder: Final = msgspec.json.Encoder(enc_hook=repr)
_decoder: Final = msgspec.json.Decoder(LogLine)


class RecentLines:
    """The last lines; safe to use from several threads.

    Attributes:
        dropped: how many lines are not kept any more.
    """

    def __init__(self, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> None:
        self.dropped = 0
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._lines: deque[bytes] = deque()
        self._size_bytes = 0
        self._last = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many lines are kept."""
        return len(self._lines)

    @property
    def size_bytes(self) -> int:
        """How much memory their text takes."""
        return self._size_bytes

    def remember(self, _logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        """Keep a line; a processor of structlog, after the one that hides secrets."""
        with self._lock:
            self._last += 1
            self._keep(_encoded(self._last, event))
        return event

    def after(self, number: int) -> list[LogLine]:
        """The kept lines with larger numbers, oldest first, without secrets that came later."""
        with self._lock:
            first = self._last - len(self._lines) + 1
            kept = list(islice(self._lines, max(number + 1 - first, 0), None))
        return [_decoder.decode(live_secrets.redacted(line.decode())) for line in kept]

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self._size_bytes += len(line)
        while len(self._lines) > self._max_lines or (
            self._size_bytes > self._max_bytes and len(self._lines) > 1
        ):
            self._size_bytes -= len(self._lines.popleft())
            self.dropped += 1


def _encoded(number: int, event: EventDict) -> bytes:
    fields = {name: value for name, value in event.items() if name not in _STANDARD}
    line = LogLine(
        number=number,
        at=str(event.get("timestamp", "")),
        level=str(event.get("level", "")),
        logger=str(event.get("logger", "")),
        event=str(event.get("event", "")),
        fields=fields,
    )
    encoded = _encoder.encode(line)
    if len(encoded) <= MAX_LINE_BYTES:
        return encoded
    short = msgspec.structs.replace(
        line,
        event=shortened(line.event, _MAX_TEXT_CHARS),
        fields={**bounded_copy(fields), "cut_bytes": len(encoded)},
    )
    return _encoder.encode(short)


recent_lines: Final = RecentLines()
"""The last lines of this process."""
