"""The SQL statements that list tasks, page by page.

A page is found task by task, each by one search in an index. So its cost depends on its own length
only, not on how many tasks there are, in whatever state.
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.store.columns import TASK_COLUMNS
from phoenix_compat.tasks.store.statements.scoped import Scoped

_INPUTS: Final = frozenset({"input", "provider_input"})

COLUMNS_WITHOUT_INPUTS: Final = ", ".join(
    [
        "tasks.number",
        *(f"'{{}}' AS {name}" if name in _INPUTS else f"tasks.{name}" for name in TASK_COLUMNS),
    ]
)
"""SQL: the columns of a task, with an empty object for each of the long ones that are not read."""

_COLUMNS: Final = ", ".join(["tasks.number", *(f"tasks.{name}" for name in TASK_COLUMNS)])
_NAMES: Final = ", ".join(["number", *TASK_COLUMNS])

RESULT_BYTES: Final = " + ".join(
    f"length(CAST(coalesce(tasks.{name}, '') AS BLOB))"
    for name in ("result_data", "error_data", "files")
)
"""SQL: the stored bytes of the result, the error and the files of a task."""


def _newest(condition: str, index: str, before: str) -> str:
    """SQL: the newest task before a number."""
    return f"(SELECT max(number) FROM tasks {index} WHERE {condition} number < {before})"  # noqa: S608 - our own text


def _newest_with_status(condition: str, index: str, before: str) -> str:
    """SQL: the newest task before a number in one of some states."""
    newest = _newest(f"status = wanted.value AND {condition}", index, before)
    return f"(SELECT max({newest}) FROM json_each(:statuses) AS wanted)"  # noqa: S608 - our own text


def _page(columns: str, first: str, following: str) -> str:
    return f"""
WITH RECURSIVE page (tasks_so_far, bytes_so_far, {_NAMES}) AS (
  SELECT 1, {RESULT_BYTES}, {columns} FROM tasks WHERE number = {first}
  UNION ALL
  SELECT page.tasks_so_far + 1, page.bytes_so_far + {RESULT_BYTES}, {columns}
  FROM page JOIN tasks ON tasks.number = {following}
  WHERE page.tasks_so_far < :limit AND page.bytes_so_far < :max_bytes
)
SELECT * FROM page ORDER BY number DESC
"""  # noqa: S608 - our own text


def _pages(columns: str) -> Scoped:
    return Scoped(
        _page(columns, _newest("", "", ":before"), _newest("", "", "page.number")),
        _page(
            columns,
            _newest("owner = :owner AND", "INDEXED BY tasks_by_owner", ":before"),
            _newest("owner = :owner AND", "INDEXED BY tasks_by_owner", "page.number"),
        ),
    )


def _pages_with_status(columns: str) -> Scoped:
    all_tasks, own = "INDEXED BY tasks_by_status", "INDEXED BY tasks_by_status_and_owner"
    return Scoped(
        _page(
            columns,
            _newest_with_status("", all_tasks, ":before"),
            _newest_with_status("", all_tasks, "page.number"),
        ),
        _page(
            columns,
            _newest_with_status("owner = :owner AND", own, ":before"),
            _newest_with_status("owner = :owner AND", own, "page.number"),
        ),
    )


LIST_TASKS: Final = _pages(_COLUMNS)
"""The newest tasks with a smaller number than `before`.

At most `limit` tasks, and none after the one with which the results, errors and files together
have `max_bytes`. The column `bytes_so_far` has their bytes, from the first row to this one.
"""

LIST_TASKS_WITH_STATUS: Final = _pages_with_status(_COLUMNS)
"""The same, only tasks in one of `statuses`."""

PAGE_OF_TASKS: Final = _pages(COLUMNS_WITHOUT_INPUTS)
"""LIST_TASKS without the inputs."""

PAGE_WITH_STATUS: Final = _pages_with_status(COLUMNS_WITHOUT_INPUTS)
"""LIST_TASKS_WITH_STATUS without the inputs."""
