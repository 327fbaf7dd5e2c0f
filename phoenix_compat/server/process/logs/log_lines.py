"""Limits log lines: at most 8 KiB each, without secrets, escaped, and not repeated too often.

Every line of the process passes through here, whichever library logs it. Newlines in a format
string or a traceback stay; newlines in values are escaped, so clients cannot forge a line. A line
that repeats many others of the last seconds is left out and counted.

Secrets are hidden in each value before it is shortened, because a part of one would not be
recognised, and once more in the finished line, as are control characters.
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
from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.logs.tracebacks import exception_text, place_of

MAX_LINE_BYTES: Final = 8 * 1024
MAX_SAME_LINES: Final = 300
"""How many lines of one logger and event are written in WINDOW_S. All running tasks together log
fewer."""
WINDOW_S: Final = 10.0
MAX_EVENTS: Final = 512
"""How many events are counted separately; one logger can have an eighth of them."""

LEFT_OUT: Final = "log.lines_left_out"

_MAX_EVENT_CHARS: Final = 3_000
_MAX_VALUE_CHARS: Final = 2_000
_MAX_EXCEPTION_CHARS: Final = 6_000
_MAX_KEY_CHARS: Final = 200
_MAX_SECRET_CHARS: Final = 4_096
_MAX_FIELDS: Final = 40
_ALWAYS: Final = frozenset({"event", "exception", "level", "logger", "stack", "timestamp"})
_OURS: Final = frozenset({"level", "logger", "timestamp"})
"""No text of others; the finished line is checked all the same."""
_FIELD_CHARS: Final = (1_500, 300, 16)
"""The lengths to which fields are cut, one after the other, until the line is short enough."""
_CUT: Final = "…[cut]…"
_UNINDENTED: Final = re.compile(r"\n(?!  )")
_COLOURS: Final = re.compile("(\x1b\\[[0-9;]*m)")
_LOGGER: Final = "phoenix_compat.logs"

Key = tuple[object, ...]


class _Argument:
    """An argument of a log line, shortened and escaped for both %s and %r."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        value = self._value
        if isinstance(value, list | tuple | dict | bytes | bytearray):
            return brief(value, _MAX_VALUE_CHARS)
        try:
            text = str(value)
        except Exception:  # noqa: BLE001 - a foreign object; the line must be logged all the same
            text = brief(value, _MAX_VALUE_CHARS)
        return _one_line(text, _MAX_VALUE_CHARS)

    def __repr__(self) -> str:
        return _one_line(brief(self._value, _MAX_VALUE_CHARS), _MAX_VALUE_CHARS)


def _argument(value: object) -> object:
    # %d and %g need the number itself; Python refuses to format a number of thousands of digits.
    is_number = isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 128)
    return value if is_number or value is None else _Argument(value)


def _arguments(arguments: Any) -> Any:
    if isinstance(arguments, dict):
        return {name: _argument(value) for name, value in arguments.items()}
    return tuple(_argument(value) for value in arguments)


def _one_line(text: str, max_chars: int) -> str:
    return escaped(_redacted(text, max_chars))


def _redacted(text: str, max_chars: int) -> str:
    """The text without secrets, and then cut to `max_chars`."""
    looked_at = shortened(text, max_chars + _MAX_SECRET_CHARS)
    return shortened(live_secrets.redacted(looked_at), max_chars)


def _indented(text: str, max_chars: int) -> str:
    """The text with its lines indented, so that none of them looks like a log line."""
    lines = (escaped(line) for line in _redacted(text, max_chars).split("\n"))
    return _UNINDENTED.sub("\n  ", "\n".join(lines))


def show_exception(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replace the exception by its traceback as text, formatted by `tracebacks`."""
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
    """Redact, shorten and escape every value. The event and the traceback keep their newlines."""
    bounded: EventDict = {}
    for name, value in event.items():
        if len(bounded) >= _MAX_FIELDS and name not in _ALWAYS:
            bounded["cut"] = True
        elif name in _OURS:
            bounded[name] = value
        elif name == "event":
            bounded[name] = _indented(_text(value), _MAX_EVENT_CHARS)
        elif name in {"exception", "stack"}:
            text = live_secrets.redacted(_text(value))
            bounded[name] = _shortened_inside(text, _MAX_EXCEPTION_CHARS)
        else:
            bounded[name] = _bounded(value)
    return bounded


def _text(value: object) -> str:
    return value if isinstance(value, str) else brief(value, _MAX_VALUE_CHARS)


def _bounded(value: object) -> object:
    if isinstance(value, str):
        return _one_line(value, _MAX_VALUE_CHARS)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | dict | list | tuple):
        return _redacted_copy(bounded_copy(value))
    return _one_line(brief(value, _MAX_VALUE_CHARS), _MAX_VALUE_CHARS)


def _redacted_copy(value: Any) -> Any:
    """A bounded copy of JSON without secrets: also a number may be one."""
    if isinstance(value, dict):
        return {_redacted_copy(key): _redacted_copy(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_redacted_copy(inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else brief(value)
    redacted = live_secrets.redacted(text)
    return value if redacted == text else redacted


def _shortened_inside(text: str, max_chars: int) -> str:
    """The beginning and the end of a traceback. The end is longer: it has the error."""
    if len(text) <= max_chars:
        return text
    head = max_chars // 4
    return f"{text[:head]}\n{_CUT}\n{text[head - max_chars :]}"


def fitted(renderer: Processor) -> Processor:
    """Wrap a renderer so that its lines have at most MAX_LINE_BYTES; long fields are cut."""

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


def safe(renderer: Processor, *, is_coloured: bool = False) -> Processor:
    """Wrap a renderer so that its lines have no secrets and no control characters.

    Args:
        is_coloured: whether the line has the terminal's codes for colours.
    """

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        line = live_secrets.redacted(_rendered(renderer, logger, name, event))
        parts = _COLOURS.split(line) if is_coloured else [line]
        # Odd parts are colours. The newlines that are left are those of tracebacks and formats.
        parts[::2] = ["\n".join(map(escaped, part.split("\n"))) for part in parts[::2]]
        return "".join(parts)

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
    """How often an event was logged in its window, and how often it was left out."""

    ends_at_s: float
    lines: int = 0
    left_out: int = 0


class RepeatLimit:
    """Counts lines by logger and event, and decides which are too many.

    Args:
        now_s: a monotonic clock.
        max_same_lines: see MAX_SAME_LINES.

    Attributes:
        left_out: how many lines were left out since the start.
    """

    def __init__(
        self,
        now_s: Callable[[], float] = time.monotonic,
        *,
        max_same_lines: int = MAX_SAME_LINES,
    ) -> None:
        self.left_out = 0
        self._max_same_lines = max_same_lines
        self._now_s = now_s
        self._tallies: dict[Key, _Tally] = {}
        self._events_of: dict[object, int] = {}
        self._unreported: list[tuple[Key, int]] = []
        self._next_end_s = math.inf

    def admits(self, key: Key) -> bool:
        """Whether one more line with this key may be written. Its first element is the logger."""
        now_s = self._now_s()
        tally = self._tallies.get(key)
        if tally is None and self._events_of.get(key[0], 0) >= MAX_EVENTS // 8:
            # This logger has used up its share of events: count its further ones together.
            key = (key[0], None)
            tally = self._tallies.get(key)
        if tally is None:
            self._make_room(now_s)
            self._events_of[key[0]] = self._events_of.get(key[0], 0) + 1
        if tally is None or tally.ends_at_s <= now_s:
            self._end(key)
            tally = self._tallies[key] = _Tally(now_s + WINDOW_S)
        if tally.lines < self._max_same_lines:
            tally.lines += 1
            return True
        tally.left_out += 1
        self.left_out += 1
        self._next_end_s = min(self._next_end_s, tally.ends_at_s)
        return False

    def take_left_out(self, *, is_over: bool = False) -> list[tuple[Key, int]]:
        """How many lines of each key were left out in windows that have ended.

        Each count is returned once. With `is_over` the open windows are included.
        """
        now_s = math.inf if is_over else self._now_s()
        if self._next_end_s <= now_s:
            for key, tally in self._tallies.items():
                if tally.ends_at_s <= now_s:
                    self._end(key)
            ends = [tally.ends_at_s for tally in self._tallies.values() if tally.left_out]
            self._next_end_s = min(ends, default=math.inf)
        counts, self._unreported = self._unreported, []
        return counts

    def _end(self, key: Key) -> None:
        tally = self._tallies.get(key)
        if tally is not None and tally.left_out:
            self._unreported.append((key, tally.left_out))
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
    """What lines are counted by: logger, event, and for an error the line that raised it."""
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
    """Writes the lines that `RepeatLimit` admits; a line that cannot be written is reported."""

    def __init__(self, stream: Any, repeat_limit: RepeatLimit | None = None) -> None:
        super().__init__(stream)
        self.repeat_limit = repeat_limit or RepeatLimit()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and before it how many lines were left out."""
        is_admitted = self.repeat_limit.admits(key_of(record))
        self._report(is_over=False)
        if is_admitted:
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Format a copy of the record, so that other handlers see its own arguments."""
        if record.args:
            record = copy.copy(record)
            record.args = _arguments(record.args)
        return super().format(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report a lost line; unlike logging's own method, without its arguments."""
        self.repeat_limit.left_out += 1
        error_class = sys.exc_info()[0]
        what = "an error" if error_class is None else error_class.__name__
        with contextlib.suppress(OSError, ValueError):  # the stream is closed
            self.stream.write(f"a log line of {plain(record.name)} is lost: {what}\n")

    def close(self) -> None:
        """Report the lines that were left out last."""
        try:
            self._report(is_over=True)
        finally:
            super().close()

    def _report(self, *, is_over: bool) -> None:
        for key, lines in self.repeat_limit.take_left_out(is_over=is_over):
            record = logging.LogRecord(_LOGGER, logging.WARNING, "", 0, LEFT_OUT, (), None)
            record.logger_of, record.event_of = key[0], plain(key[1])
            record.lines = lines
            super().emit(record)
