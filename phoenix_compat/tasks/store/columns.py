"""Checks the values of stored columns, both when rows are read and when tasks are imported.

SQLite does not enforce the types of columns, so a row may contain values that this program would
never write. The checks here find them and name the column.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from phoenix_compat.bounded import is_too_deep
from phoenix_compat.tasks.model.clock import parse_time
from phoenix_compat.tasks.model.task import UNREADABLE_OWNER, TaskStatus
from phoenix_compat.tasks.model.trace_context import traceparent_or_none

MAX_NAME_CHARS: Final = 1_024
MAX_COUNT: Final = 2**31
MAX_DEADLINE_S: Final = 366 * 86_400.0
CANCEL_REQUESTED: Final = "cancel_requested"
EVENT_NAMES: Final = frozenset({*TaskStatus, CANCEL_REQUESTED})
"""The names of events in a task's history: the state that was reached, or the request."""

_MAX_STORED_DEPTH: Final = 500
"""More than is accepted in an input, because a model's result is stored as it came."""
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII
)
_FIRST_TIME: Final = "1970"
# Control characters, and the surrogates that stand for bytes that are not UTF-8.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

ColumnReader: TypeAlias = Callable[[Any], Any]
"""Converts a stored value to a Python value. Raises ValueError when the value is invalid."""


class Column(NamedTuple):
    """A column and its check.

    Attributes:
        read: see ColumnReader.
        expected: what it must hold, for error messages ("a JSON object").
        default: is used in place of a value that cannot be read.
    """

    read: ColumnReader
    expected: str
    default: Any = None


def _unreadable() -> ValueError:
    return ValueError("unreadable")  # without the value, which may be a user's text


def read_time(value: Any) -> datetime:
    """Read a time that `stored_time` wrote."""
    if not isinstance(value, str) or not _TIME.fullmatch(value) or value < _FIRST_TIME:
        raise _unreadable()
    return parse_time(value)


def read_name(value: Any) -> str:
    """Read a name: a text of one line."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARS:
        raise _unreadable()
    if _UNPRINTABLE.search(value):
        raise _unreadable()
    return value


def read_owner(value: Any) -> str:
    """Read an owner: a name, or "" for nobody in particular."""
    return value if value == "" and isinstance(value, str) else read_name(value)


def read_json(value: Any) -> Any:
    """Read JSON text as a value."""
    if not isinstance(value, str):
        raise _unreadable()
    try:
        document = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _unreadable() from error
    # The depth is at most the number of brackets, which is cheap to count.
    may_be_too_deep = value.count("{") + value.count("[") > _MAX_STORED_DEPTH
    if may_be_too_deep and is_too_deep(document, _MAX_STORED_DEPTH):
        raise _unreadable()
    return document


def read_object(value: Any) -> dict[str, Any]:
    """Read a JSON object."""
    document = read_json(value)
    if not isinstance(document, dict):
        raise _unreadable()
    return document


def _read_status(value: Any) -> TaskStatus:
    return TaskStatus(value)


def _read_event(value: Any) -> str:
    if value not in EVENT_NAMES:
        raise _unreadable()
    return str(value)


def _read_names(value: Any) -> tuple[str, ...]:
    document = read_json(value)
    if not isinstance(document, list):
        raise _unreadable()
    return tuple(read_name(item) for item in document)


def read_files(value: Any) -> tuple[dict[str, Any], ...]:
    """Read the documents of stored files; see `stored_file`."""
    document = read_json(value)
    if not isinstance(document, list) or not all(map(_is_file, document)):
        raise _unreadable()
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
        raise _unreadable()
    return value == 1


def _whole_number(minimum: int) -> ColumnReader:
    def read(value: Any) -> int:
        if type(value) is not int or not minimum <= value <= MAX_COUNT:
            raise _unreadable()
        return value

    return read


def _number(maximum: float, *, may_be_zero: bool = True) -> ColumnReader:
    # NaN and infinities fail the comparison with the maximum.

    def read(value: Any) -> float:
        if type(value) not in {int, float} or not 0 <= value <= maximum:
            raise _unreadable()
        if value == 0 and not may_be_zero:
            raise _unreadable()
        return float(value)

    return read


def _nullable(read: ColumnReader) -> ColumnReader:
    def read_nullable(value: Any) -> Any:
        return None if value is None else read(value)

    return read_nullable


_TIME_EXPECTED: Final = 'a time like "2026-01-05T10:00:00.000Z"'
_NAME_EXPECTED: Final = f"a text of 1 to {MAX_NAME_CHARS} characters on one line"
OWNER_EXPECTED: Final = f"a text of at most {MAX_NAME_CHARS} characters on one line"
_OBJECT_EXPECTED: Final = f"a JSON object, nested at most {_MAX_STORED_DEPTH} deep"
_COUNT_EXPECTED: Final = f"a whole number from 0 to {MAX_COUNT}"
_SHARE_EXPECTED: Final = "a number from 0 to 1"

_NAME: Final = Column(read_name, _NAME_EXPECTED, "unreadable")
_COUNT: Final = Column(_whole_number(0), _COUNT_EXPECTED, 0)
_OBJECT: Final = Column(read_object, _OBJECT_EXPECTED, {})
_SHARE: Final = Column(_number(1.0), _SHARE_EXPECTED, 0.0)
_STATUS: Final = Column(_read_status, f"one of {', '.join(TaskStatus)}", TaskStatus.FAILED)
_TIME_COLUMN: Final = Column(read_time, _TIME_EXPECTED)


def _or_null(column: Column) -> Column:
    return Column(_nullable(column.read), f"{column.expected}, or NULL")


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
    "cancel_requested": Column(_read_flag, "0 or 1", default=False),
    "result_data": _or_null(_OBJECT),
    "error_data": _or_null(_OBJECT),
    "created_at": _TIME_COLUMN,
    "updated_at": _TIME_COLUMN,
    "not_before": _or_null(_TIME_COLUMN),
    "submitted_at": _or_null(_TIME_COLUMN),
    "started_at": _or_null(_TIME_COLUMN),
    "completed_at": _or_null(_TIME_COLUMN),
    "cycle": Column(_whole_number(1), f"a whole number from 1 to {MAX_COUNT}", 1),
    "retries": _COUNT,
    "models_tried": Column(_read_names, "a JSON list of names", ()),
    "provider_model": _or_null(_NAME),
    "deadline_s": _or_null(
        Column(
            _number(MAX_DEADLINE_S, may_be_zero=False),
            f"a number of seconds above 0, at most {MAX_DEADLINE_S:.0f}",
        )
    ),
    "files": Column(read_files, "a JSON list of stored files", ()),
    "estimated_cost_usd": _or_null(Column(_number(1e9), "a number from 0 to 1e9")),
    "owner": Column(read_owner, OWNER_EXPECTED, UNREADABLE_OWNER),
    "traceparent": Column(traceparent_or_none, "a text, or NULL"),
    "lease": _COUNT,
}
"""The columns of a task except `number`, which SQLite itself checks."""

EVENT_COLUMNS: Final[dict[str, Column]] = {
    "seq": Column(_whole_number(1), "a whole number, 1 or more", 1),
    "event": Column(_read_event, f"one of {', '.join(sorted(EVENT_NAMES))}", "unreadable"),
    "status": _STATUS,
    "progress": _SHARE,
    "at": _TIME_COLUMN,
    "data": _or_null(_OBJECT),
}
"""Every column of `events` except `task_id`."""
