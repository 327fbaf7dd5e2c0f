"""Every question the store asks its database, each with a name and a sentence."""

from __future__ import annotations

ADD_TASK = """
INSERT INTO tasks (id, type, task_type, model, input, provider_input, fingerprint, status,
                   progress, created_at, updated_at)
VALUES (:id, :type, :task_type, :model, :input, :provider_input, :fingerprint, 'queued',
        0.0, :now, :now)
"""
"""A new task at the end of the queue."""

COUNT_QUEUED = "SELECT count(*) FROM tasks WHERE status = 'queued'"
"""How many tasks wait."""

GET_TASK = "SELECT * FROM tasks WHERE id = ?"
"""One task."""

LIST_TASKS = """
SELECT * FROM tasks
WHERE number < :before AND status IN (SELECT value FROM json_each(:statuses))
ORDER BY number DESC LIMIT :limit
"""
"""The newest tasks in some states, older than a number."""

DUE_TASKS = """
SELECT * FROM tasks
WHERE status = 'queued' AND (not_before IS NULL OR not_before <= :now)
ORDER BY number LIMIT :limit
"""
"""The longest-waiting tasks that may start now."""

NEXT_DUE = "SELECT min(not_before) FROM tasks WHERE status = 'queued' AND not_before > :now"
"""When the next waiting task may start."""

UNFINISHED_TASKS = """
SELECT * FROM tasks WHERE status IN ('submitting', 'running') ORDER BY number
"""
"""What a stopped server left in the provider's hands."""

MOVE_TASK = """
UPDATE tasks SET
  status = :status, progress = :progress, prediction_id = :prediction_id, attempts = :attempts,
  connect_failures = :connect_failures, not_before = :not_before, submitted_at = :submitted_at,
  started_at = :started_at, completed_at = :completed_at, result_data = :result_data,
  error_data = :error_data, updated_at = :updated_at
WHERE id = :id AND status = :from_
"""
"""One move; the row count says whether the task still stood where the mover thought."""

RECORD_PROGRESS = """
UPDATE tasks SET progress = :progress, updated_at = :now
WHERE id = :id AND status = 'running' AND progress < :progress
"""
"""A running task's progress, upwards only."""

REQUEST_CANCEL = """
UPDATE tasks SET cancel_requested = 1
WHERE id = :id AND cancel_requested = 0 AND status IN ('queued', 'submitting', 'running')
"""
"""The wish that a task end; the worker sees to it."""

ADD_EVENT = """
INSERT INTO events (task_id, seq, event, status, progress, data, at)
SELECT :task_id, coalesce(max(seq), 0) + 1, :event, :status, :progress, :data, :at
FROM events WHERE task_id = :task_id
"""
"""The next line of a task's history."""

LIST_EVENTS = """
SELECT * FROM events WHERE task_id = :task_id AND seq > :after ORDER BY seq LIMIT :limit
"""
"""A task's history after a line."""
