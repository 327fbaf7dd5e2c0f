"""What a log line may be: at most 8 KiB, of harmless characters, and not too often the same.

Every line of the process goes through here, whoever logs it. The newlines of a format string and of
a traceback stay; those inside of the values do not, so nobody outside can forge a line. A line that
says the same as many others of the last seconds is left out and counted.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from structlog.types import EventDict, Processor, WrappedLogger

from phoenix_compat.bounded import bounded_copy, brief, escaped, plain, shortened
from phoenix_compat.server.process.tracebacks import exception_text, place_of

MAX_LINE_BYTES: Final = 8 * 1024
MAX_SAME_LINES: Final = 300
"""So many lines of one logger and event in WINDOW_S: more than all tasks in hand can log, and as
many as anybody reads of clients."""
WINDOW_S: Final = 10.0
MAX_EVENTS: Final = 512
"""Events that are counted apart; of one logger at most an eighth of them."""

LEFT_OUT: Final = "log.lines_left_out"

_MAX_EVENT_CHARS: Final = 3_000
_MAX_VALUE_CHARS: Final = 2_000
_MAX_EXCEPTION_CHARS: Final = 6_000
_MAX_KEY_CHARS: Final = 200
_MAX_FIELDS: Final = 40
_ALWAYS: Final = frozenset({"event", "exception", "level", "logger", "stack", "timestamp"})
_FIELD_CHARS: Final = (1_500, 300, 16)
"""How short the fields are made, step by step, when a line is too long all the same."""
_CUT: Final = "…[cut]…"
_UNINDENTED: Final = re.compile(r"\n(?!  )")
_LOGGER: Final = "phoenix_compat.logs"

Key = tuple[object, ...]


class _Shown:
    """An argument of a log line: short and harmless, whether the format says %s or %r."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        value = self._value
        if isinstance(value, list | tuple | dict | bytes | bytearray):
            return brief(value, _MAX_VALUE_CHARS)
        try:
            text = str(value)
        except Exception:  # noqa: BLE001 - an object of somebody's class; the line counts
            text = brief(value, _MAX_VALUE_CHARS)
        return _one_line(text, _MAX_VALUE_CHARS)

    def __repr__(self) -> str:
        return _one_line(brief(self._value, _MAX_VALUE_CHARS), _MAX_VALUE_CHARS)


def _shown(value: object) -> object:
    # %d and %g want the number itself; one of thousands of digits cannot even be written.
    is_number = isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 128)
    return value if is_number or value is None else _Shown(value)


def _shown_arguments(arguments: Any) -> Any:
    if isinstance(arguments, dict):
        return {name: _shown(value) for name, value in arguments.items()}
    return tuple(_shown(value) for value in arguments)


def _one_line(text: str, max_chars: int) -> str:
    return escaped(shortened(text, max_chars))


def _harmless(text: str, max_chars: int) -> str:
    """Text that may have lines of its own; they are indented, so that none looks like an entry."""
    lines = (escaped(line) for line in shortened(text, max_chars).split("\n"))
    return _UNINDENTED.sub("\n  ", "\n".join(lines))


def show_exception(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """The traceback as text, in place of what structlog would make of it."""
    found = event.pop("exc_info", None)
    if found is True or (found and isinstance(found, tuple)):
        info = sys.exc_info() if found is True else found
        error = info[1]
    else:
        error = found or None
    if isinstance(error, BaseException):
        event["exception"] = exception_text((type(error), error, error.__traceback__))
    return event


def bound_values(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Every value short and harmless. The event and the traceback keep their lines."""
    kept: EventDict = {}
    for name, value in event.items():
        if len(kept) >= _MAX_FIELDS and name not in _ALWAYS:
            kept["cut"] = True
        elif name == "event":
            kept[name] = _harmless(_text(value), _MAX_EVENT_CHARS)
        elif name in {"exception", "stack"}:
            kept[name] = _shortened_inside(_text(value), _MAX_EXCEPTION_CHARS)
        else:
            kept[name] = _bounded(value)
    return kept


def _text(value: object) -> str:
    return value if isinstance(value, str) else brief(value, _MAX_VALUE_CHARS)


def _bounded(value: object) -> object:
    if isinstance(value, str):
        return _one_line(value, _MAX_VALUE_CHARS)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int | dict | list | tuple):
        return bounded_copy(value)
    return _one_line(brief(value, _MAX_VALUE_CHARS), _MAX_VALUE_CHARS)


def _shortened_inside(text: str, max_chars: int) -> str:
    """The beginning and, more of it, the end: there a traceback says what happened."""
    if len(text) <= max_chars:
        return text
    head = max_chars // 4
    return f"{text[:head]}\n{_CUT}\n{text[head - max_chars :]}"


def fitted(renderer: Processor) -> Processor:
    """A renderer whose lines have at most MAX_LINE_BYTES; shorter fields make them so."""

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        line = _rendered(renderer, logger, name, event)
        size = len(line.encode("utf-8", "replace"))
        if size <= MAX_LINE_BYTES:
            return line
        for max_chars in _FIELD_CHARS:
            event = {key: _cut(key, value, max_chars) for key, value in event.items()}
            line = _rendered(renderer, logger, name, {**event, "cut_bytes": size})
            if len(line.encode("utf-8", "replace")) <= MAX_LINE_BYTES:
                break
        return line

    return render


def _rendered(renderer: Processor, logger: WrappedLogger, name: str, event: EventDict) -> str:
    line = renderer(logger, name, dict(event))
    return line if isinstance(line, str) else str(line)


def _cut(name: str, value: object, max_chars: int) -> object:
    if isinstance(value, bool | float | int | None):
        return value
    text = value if isinstance(value, str) else brief(value, max_chars)
    if len(text) <= max_chars:
        return text
    if name in {"exception", "stack"}:
        return _shortened_inside(text, max_chars)
    return text[:max_chars] + _CUT


@dataclass(slots=True)
class _Tally:
    """How often an event was logged in its window, and how often left out."""

    ends_at_s: float
    lines: int = 0
    left_out: int = 0


class SameLines:
    """Counts lines by what they say, and knows which are too many.

    Args:
        now_s: a clock that never goes back.

    Attributes:
        left_out: lines that were left out since the start.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.left_out = 0
        self._now_s = now_s
        self._tallies: dict[Key, _Tally] = {}
        self._events_of: dict[object, int] = {}
        self._untold: list[tuple[Key, int]] = []
        self._next_end_s = math.inf

    def admits(self, key: Key) -> bool:
        """Whether one more line of this kind may be written; its first place is the logger."""
        now_s = self._now_s()
        tally = self._tallies.get(key)
        if tally is None and self._events_of.get(key[0], 0) >= MAX_EVENTS // 8:
            # A logger whose every line is another: those beyond its part are counted together.
            key = (key[0], None)
            tally = self._tallies.get(key)
        if tally is None:
            self._make_room(now_s)
            self._events_of[key[0]] = self._events_of.get(key[0], 0) + 1
        if tally is None or tally.ends_at_s <= now_s:
            self._end(key)
            tally = self._tallies[key] = _Tally(now_s + WINDOW_S)
        if tally.lines < MAX_SAME_LINES:
            tally.lines += 1
            return True
        tally.left_out += 1
        self.left_out += 1
        self._next_end_s = min(self._next_end_s, tally.ends_at_s)
        return False

    def told(self, *, is_over: bool = False) -> list[tuple[Key, int]]:
        """What was left out in windows that have ended, each told once; with `is_over` in all."""
        now_s = math.inf if is_over else self._now_s()
        if self._next_end_s <= now_s:
            for key, tally in self._tallies.items():
                if tally.ends_at_s <= now_s:
                    self._end(key)
            ends = [tally.ends_at_s for tally in self._tallies.values() if tally.left_out]
            self._next_end_s = min(ends, default=math.inf)
        told, self._untold = self._untold, []
        return told

    def _end(self, key: Key) -> None:
        tally = self._tallies.get(key)
        if tally is not None and tally.left_out:
            self._untold.append((key, tally.left_out))
            tally.left_out = 0

    def _make_room(self, now_s: float) -> None:
        if len(self._tallies) < MAX_EVENTS:
            return
        ended = [key for key, tally in self._tallies.items() if tally.ends_at_s <= now_s]
        for key in ended or [next(iter(self._tallies))]:
            self._end(key)
            del self._tallies[key]
            self._events_of[key[0]] -= 1
            if not self._events_of[key[0]]:
                del self._events_of[key[0]]


def key_of(record: logging.LogRecord) -> Key:
    """What a line says, without the values: its logger and event, and of an error the place."""
    event: Any = record.msg
    info: Any = record.exc_info
    if isinstance(event, dict):
        info = event.get("exc_info") or info
        event = event.get("event")
    text = event[:_MAX_KEY_CHARS] if isinstance(event, str) else type(event).__name__
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    place = place_of(error) if isinstance(error, BaseException) else ()
    return (record.name, text, *place)


class LineHandler(logging.StreamHandler[Any]):
    """Writes the lines that `SameLines` admits; one that cannot be written is told in a word."""

    def __init__(self, stream: Any, same_lines: SameLines | None = None) -> None:
        super().__init__(stream)
        self.same_lines = same_lines or SameLines()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and before it what was left out."""
        is_admitted = self.same_lines.admits(key_of(record))
        self._tell(is_over=False)
        if is_admitted:
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """The line; the record's own arguments stay as they are for other handlers."""
        if record.args:
            record = copy.copy(record)
            record.args = _shown_arguments(record.args)
        return super().format(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Logging itself would print the arguments."""
        self.same_lines.left_out += 1
        kind = sys.exc_info()[0]
        what = "an error" if kind is None else kind.__name__
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
            self.stream.write(f"a log line of {plain(record.name)} is lost: {what}\n")

    def close(self) -> None:
        """Tell what was left out last."""
        try:
            self._tell(is_over=True)
        finally:
            super().close()

    def _tell(self, *, is_over: bool) -> None:
        for key, lines in self.same_lines.told(is_over=is_over):
            record = logging.LogRecord(_LOGGER, logging.WARNING, "", 0, LEFT_OUT, (), None)
            record.logger_of, record.event_of = key[0], plain(key[1])
            record.lines = lines
            super().emit(record)
