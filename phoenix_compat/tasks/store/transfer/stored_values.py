"""Whether PostgreSQL can store a value that stands in a column of SQLite.

SQLite does not enforce the types of columns, so a row may have values that PostgreSQL refuses, or
that it would store as something else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from phoenix_compat.tasks.store.columns import read_json, read_time

Check = Callable[[Any], Any]
"""Returns the value as PostgreSQL gives it back; raises ValueError if it cannot be stored."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")  # noqa: TRY004 - a value, not an argument
    if "\0" in value:
        raise ValueError("a text without the character 0")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text in UTF-8") from error
    return value


def _json(value: Any) -> str:
    try:
        read_json(value)
    except ValueError as error:
        raise ValueError("JSON") from error
    return _text(value)


def _time(value: Any) -> str:
    try:
        read_time(value)
    except ValueError as error:
        raise ValueError('a time like "2026-01-05T10:00:00.000Z"') from error
    return str(value)


def _whole(bits: int) -> Check:
    def check(value: Any) -> int:
        if not isinstance(value, int) or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError(f"a whole number of {bits} bits")
        return value

    return check


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a number")
    return float(value)


CHECKS: Final[Mapping[str, Check]] = {
    "bigint": _whole(64),
    "double precision": _number,
    "integer": _whole(32),
    "json": _json,
    "smallint": _whole(16),
    "text": _text,
    "timestamp with time zone": _time,
}
"""The checks for the types of PostgreSQL's columns."""
