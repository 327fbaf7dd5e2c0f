"""What each column of a stored task may hold. Reading rows and importing lines both go by it.

SQLite keeps whatever it was given, whatever the column's type says: a value that this program did
not write is found here, by name, and goes no further.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from phoenix_compat.bounded import is_too_deep
from phoenix_compat.tasks.model.clock import parsed_time
from phoenix_compat.tasks.model.task import TaskStatus

MAX_NAME_CHARS: Final = 1_024
MAX_COUNT: Final = 2**31
MAX_DEADLINE_S: Final = 366 * 86_400.0
CANCEL_REQUESTED: Final = "cancel_requested"
EVENT_NAMES: Final = frozenset({*TaskStatus, CANCEL_REQUESTED})
"""What a line of a task's history can be called: the state reached, or what was asked."""

_MAX_STORED_DEPTH: Final = 500
"""Deeper than any input that is accepted: a model's result is kept as it came."""
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII
)
_FIRST_TIME: Final = "1970"
# Control characters, and what stands for bytes that are no UTF-8.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Read: TypeAlias = Callable[[Any], Any]
"""Makes a Python value of a stored one. Raises ValueError when it cannot be."""


class Column(NamedTuple):
    """One column.

    Attributes:
        read: see Read.
        expected: what it holds, for people ("a JSON object").
        stand_in: takes the place of a value that cannot be read.
    """

    read: Read
    expected: str
    stand_in: Any = None


def _refuse() -> ValueError:
    return ValueError("unreadable")  # the value itself is not told: it may be a user's words


def read_time(value: Any) -> datetime:
    """A time that `stored_time` wrote."""
    if not isinstance(value, str) or not _TIME.fullmatch(value) or value < _FIRST_TIME:
        raise _refuse()
    return parsed_time(value)


def read_name(value: Any) -> str:
    """A word or a name on one line."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARS:
        raise _refuse()
    if _UNPRINTABLE.search(value):
        raise _refuse()
    return value


def read_json(value: Any) -> Any:
    """JSON text as a value."""
    if not isinstance(value, str):
        raise _refuse()
    try:
        document = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _refuse() from error
    # Nothing can be nested deeper than it has brackets.
    is_suspect = value.count("{") + value.count("[") > _MAX_STORED_DEPTH
    if is_suspect and is_too_deep(document, _MAX_STORED_DEPTH):
        raise _refuse()
    return document


def read_object(value: Any) -> dict[str, Any]:
    """A JSON object."""
    document = read_json(value)
    if not isinstance(document, dict):
        raise _refuse()
    return document


def _read_status(value: Any) -> TaskStatus:
    return TaskStatus(value)


def _read_event(value: Any) -> str:
    if value not in EVENT_NAMES:
        raise _refuse()
    return str(value)


def _read_names(value: Any) -> tuple[str, ...]:
    document = read_json(value)
    if not isinstance(document, list):
        raise _refuse()
    return tuple(read_name(item) for item in document)


def read_files(value: Any) -> tuple[dict[str, Any], ...]:
    """The documents of kept files; see `stored_file`."""
    document = read_json(value)
    if not isinstance(document, list) or not all(map(_is_file, document)):
        raise _refuse()
    return tuple(document)


def _is_file(document: object) -> bool:
    if not isinstance(document, dict):
        return False
    sha256, size, path = (document.get(key) for key in ("sha256", "bytes", "path"))
    return (
        isinstance(sha256, str)
        and isinstance(path, str)
        and isinstance(size, int)
        and not isinstance(size, bool)
        and size >= 0
        and isinstance(document.get("content_type"), str)
        and isinstance(document.get("thumbnail_path"), str | None)
        and isinstance(document.get("source_url"), str | None)
    )


def _read_flag(value: Any) -> bool:
    if type(value) is not int or value not in {0, 1}:
        raise _refuse()
    return value == 1


def _counted(at_least: int) -> Read:
    def read(value: Any) -> int:
        if type(value) is not int or not at_least <= value <= MAX_COUNT:
            raise _refuse()
        return value

    return read


def _measured(at_most: float, *, may_be_zero: bool = True) -> Read:
    """Not NaN, which is on no side of a number, and not infinite."""

    def read(value: Any) -> float:
        if type(value) not in {int, float} or not 0 <= value <= at_most:
            raise _refuse()
        if value == 0 and not may_be_zero:
            raise _refuse()
        return float(value)

    return read


def _maybe(read: Read) -> Read:
    def read_maybe(value: Any) -> Any:
        return None if value is None else read(value)

    return read_maybe


_A_TIME: Final = 'a time like "2026-01-05T10:00:00.000Z"'
_A_NAME: Final = f"a text of 1 to {MAX_NAME_CHARS} characters on one line"
_AN_OBJECT: Final = f"a JSON object, nested at most {_MAX_STORED_DEPTH} deep"
_A_COUNT: Final = f"a whole number from 0 to {MAX_COUNT}"
_A_SHARE: Final = "a number from 0 to 1"

_NAME: Final = Column(read_name, _A_NAME, "unreadable")
_COUNT: Final = Column(_counted(0), _A_COUNT, 0)
_OBJECT: Final = Column(read_object, _AN_OBJECT, {})
_SHARE: Final = Column(_measured(1.0), _A_SHARE, 0.0)
_STATUS: Final = Column(_read_status, f"one of {', '.join(TaskStatus)}", TaskStatus.FAILED)
_TIME_COLUMN: Final = Column(read_time, _A_TIME)


def _or_null(column: Column) -> Column:
    return Column(_maybe(column.read), f"{column.expected}, or nothing")


TASK_COLUMNS: Final[dict[str, Column]] = {
    "id": _NAME,
    "type": _NAME,
    "task_type": _NAME,
    "model": _NAME,
    "input": _OBJECT,
    "provider_input": _OBJECT,
    "fingerprint": _NAME,
    "status": _STATUS,
    "progress": _SHARE,
    "prediction_id": _or_null(_NAME),
    "attempts": _COUNT,
    "connect_failures": _COUNT,
    "cancel_requested": Column(_read_flag, "0 or 1", stand_in=False),
    "result_data": _or_null(_OBJECT),
    "error_data": _or_null(_OBJECT),
    "created_at": _TIME_COLUMN,
    "updated_at": _TIME_COLUMN,
    "not_before": _or_null(_TIME_COLUMN),
    "submitted_at": _or_null(_TIME_COLUMN),
    "started_at": _or_null(_TIME_COLUMN),
    "completed_at": _or_null(_TIME_COLUMN),
    "cycle": Column(_counted(1), f"a whole number from 1 to {MAX_COUNT}", 1),
    "retries": _COUNT,
    "models_tried": Column(_read_names, "a JSON list of names", ()),
    "provider_model": _or_null(_NAME),
    "deadline_s": _or_null(
        Column(
            _measured(MAX_DEADLINE_S, may_be_zero=False),
            f"a number of seconds above 0, at most {MAX_DEADLINE_S:.0f}",
        )
    ),
    "files": Column(read_files, "a JSON list of kept files", ()),
    "estimated_cost_usd": _or_null(Column(_measured(1e9), "a number from 0 to 1e9")),
}
"""Every column of `tasks` but `number`, which SQLite itself keeps whole."""

EVENT_COLUMNS: Final[dict[str, Column]] = {
    "seq": Column(_counted(1), "a whole number from 1 on", 1),
    "event": Column(_read_event, f"one of {', '.join(sorted(EVENT_NAMES))}", "unreadable"),
    "status": _STATUS,
    "progress": _SHARE,
    "at": _TIME_COLUMN,
    "data": _or_null(_OBJECT),
}
"""The columns of `events`, but for whose they are."""
