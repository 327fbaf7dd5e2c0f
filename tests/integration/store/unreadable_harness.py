"""Writes values to a database file that this program would never write."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task
from tests.integration.worker.fake_provider import PICTURE, FakeProvider
from tests.patience import patient

SECRET: Final = "a user's secret word"
"""A text in unreadable values; it must never be logged."""

NOT_UTF8: Final = object()
"""Stands for text whose bytes are not UTF-8."""

_DEEP: Final = "[" * 100_000
_JSON: Final = (
    "{bad " + SECRET,
    "",
    f'["{SECRET}"]',
    "null",
    "5",
    "NaN",
    '{"a": NaN}',
    '{"a": 1e999}',
    '{"a": "\\ud800"}',
    '{"a": ' + _DEEP,
    '{"a":' * 600 + "1" + "}" * 600,
    b'{"a": 1}',
    5,
    1.5,
    NOT_UTF8,
)
_TIMES: Final = (
    "2026-99-99T99:99:99.999Z",
    "2024-02-30T10:00:00.000Z",
    "2024-11-30T24:00:00.000Z",
    "0000-01-01T00:00:00.000Z",
    "zzzz",
    "",
    "now",
    "2026-01-05T10:00:00Z",
    "2026-01-05T10:00:00.000Z\n",
    "\uff12026-01-05T10:00:00.000Z",
    SECRET,
    b"2026-01-05T10:00:00.000Z",
    5,
    -1e300,
    float("inf"),
    NOT_UTF8,
)
_NAMES: Final = ("", "two\nlines", "x" * 5_000, "\x00", "\u2028", b"\xff", b"image", NOT_UTF8)
_COUNTS: Final = (-1, 1.5, 2**62, SECRET, "", b"1", float("inf"), NOT_UTF8)
_SHARES: Final = (-0.1, 1.1, float("inf"), float("-inf"), SECRET, "", b"0.5", NOT_UTF8)
_FILES: Final = ('{"a": 1}', "[1]", '[{"sha256": 5}]', '[{"sha256": "ab"}]', '["x"]')

UNREADABLE_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "id": (b"\xff", "two\nlines", "", None, NOT_UTF8),
    "type": (*_NAMES, None),
    "task_type": (*_NAMES, None),
    "model": (*_NAMES, None),
    "input": (*_JSON, None),
    "provider_input": (*_JSON, None),
    "fingerprint": (*_NAMES, None),
    "status": ("lost", "", "QUEUED", SECRET, b"queued", 5, None, NOT_UTF8),
    "progress": (*_SHARES, None),
    "prediction_id": _NAMES,
    "attempts": (*_COUNTS, None),
    "connect_failures": (*_COUNTS, None),
    "cancel_requested": (2, *_COUNTS, None),
    "result_data": _JSON,
    "error_data": _JSON,
    "created_at": (*_TIMES, None),
    "updated_at": (*_TIMES, None),
    "not_before": _TIMES,
    "submitted_at": _TIMES,
    "started_at": _TIMES,
    "completed_at": _TIMES,
    "cycle": (0, *_COUNTS, None),
    "retries": (*_COUNTS, None),
    "models_tried": (*(value for value in _JSON if value != f'["{SECRET}"]'), "[5]", None),
    "provider_model": _NAMES,
    "deadline_s": (0, -1.0, 1e300, float("inf"), SECRET, b"5", NOT_UTF8),
    "files": (*_FILES, *_JSON, None),
    "estimated_cost_usd": (-1.0, float("inf"), SECRET, b"5", NOT_UTF8),
    "owner": (*(name for name in _NAMES if name != ""), None),
}
"""Column of `tasks` -> values that cannot be read."""

UNREADABLE_EVENT_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "seq": (0, -1, 2**62, 1.5, SECRET, b"1"),
    "event": (SECRET, "", b"queued", 5, None, NOT_UTF8),
    "status": UNREADABLE_VALUES["status"],
    "progress": (*_SHARES, None),
    "data": _JSON,
    "at": (*_TIMES, None),
}


def put(path: Path, table: str, column: str, value: object, row: object) -> None:
    """Write a value without the checks of the schema.

    Args:
        row: the `number` of a task, or the `task_id` of an event.
    """
    key = "number" if table == "tasks" else "task_id"
    new = "CAST(x'ff6162' AS TEXT)" if value is NOT_UTF8 else "?"
    values = (row,) if value is NOT_UTF8 else (value, row)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA foreign_keys = OFF")
        with connection:
            connection.execute(f"UPDATE {table} SET {column} = {new} WHERE {key} = ?", values)  # noqa: S608 - our own names


def allow_nulls(path: Path) -> None:
    """Remove the NOT NULL constraints."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        with connection:
            connection.execute(
                "UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE type = 'table'"
            )


def stored(path: Path, sql: str, *params: object) -> list[tuple[Any, ...]]:
    """Run a query, with text as bytes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        return connection.execute(sql, params).fetchall()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition on the database is true."""
    async with asyncio.timeout(patient(30.0)):
        while not await condition():  # noqa: ASYNC110 - a commit sets no event
            await asyncio.sleep(0.001)


class SucceedingProvider(FakeProvider):
    """Every create makes a new prediction, which has succeeded at the first poll."""

    def __init__(self) -> None:
        super().__init__()
        self.created: list[str] = []
        """The ids of the tasks that a create was sent for, in order."""

    async def submit(self, task: Task) -> PredictionRef:
        """See `Provider`."""
        self.created.append(task.id)
        return PredictionRef(f"made-{len(self.created)}")

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """See `Provider`."""
        return PredictionSnapshot(
            ref=ref, state=PredictionState.SUCCEEDED, raw_status="succeeded", output=PICTURE
        )
