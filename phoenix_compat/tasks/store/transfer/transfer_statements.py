"""The SQL statements of export and import."""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.store.transfer.transfer_line import COLUMNS

TASKS_AFTER: Final = "SELECT * FROM tasks WHERE number > ? ORDER BY number LIMIT ?"
"""The next tasks, oldest first."""

ALL_EVENTS: Final = "SELECT * FROM events WHERE task_id = ? ORDER BY seq"
"""The history of a task."""

ALL_PREDICTIONS: Final = (
    "SELECT id, created_at FROM predictions WHERE task_id = ? ORDER BY created_at, id"
)
"""The predictions that a task has or had."""

HAS_TASK: Final = "SELECT 1 FROM tasks WHERE id = ?"
"""Whether there is a task with this id."""

ADD_TASK: Final = (
    f"INSERT INTO tasks ({', '.join(COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join(':' + name for name in COLUMNS)})"
)
"""Add a task with everything that a line has."""

ADD_EVENT: Final = """
INSERT INTO events (task_id, seq, event, status, progress, data, at)
VALUES (:task_id, :seq, :event, :status, :progress, :data, :at)
"""
"""Add an event of a task."""

ADD_PREDICTION: Final = "INSERT INTO predictions (id, task_id, created_at) VALUES (?, ?, ?)"
"""Add a prediction of a task."""
