"""Every question the store asks its database, each with a name and a sentence."""

from __future__ import annotations

ADD_TASK = """
INSERT INTO tasks (id, type, task_type, model, input, provider_input, fingerprint, status,
                   progress, deadline_s, estimated_cost_usd, created_at, updated_at)
VALUES (:id, :type, :task_type, :model, :input, :provider_input, :fingerprint, 'queued',
        0.0, :deadline_s, :estimated_cost_usd, :now, :now)
"""
"""A new task at the end of the queue."""

COUNT_QUEUED = "SELECT count(*) FROM tasks WHERE status = 'queued'"
"""How many tasks wait."""

QUEUE_POSITION = """
SELECT count(*) FROM tasks
WHERE status = 'queued'
  AND number <= (SELECT number FROM tasks WHERE id = ? AND status = 'queued')
"""
"""How many wait up to and with this task; 0 when it does not wait."""

GET_KEY = "SELECT body_fingerprint, task_id FROM idempotency_keys WHERE key = ?"
"""What a client's key stands for."""

ADD_KEY = """
INSERT INTO idempotency_keys (key, body_fingerprint, task_id, created_at) VALUES (?, ?, ?, ?)
"""
"""A client's key, with the task it made."""

PRUNE_KEYS = "DELETE FROM idempotency_keys WHERE created_at <= ?"
"""Old keys are forgotten."""

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
  error_data = :error_data, retries = :retries, models_tried = :models_tried,
  provider_model = :provider_model, provider_input = :provider_input, fingerprint = :fingerprint,
  deadline_s = :deadline_s, files = :files, estimated_cost_usd = :estimated_cost_usd,
  cancel_requested = CASE WHEN cycle = :cycle THEN cancel_requested ELSE 0 END,
  cycle = :cycle, updated_at = :updated_at
WHERE id = :id AND status = :from_status AND cycle = :from_cycle
"""
"""One move; the row count says whether the task still stood where the mover thought.

The cycle tells a task that is made again from the one a late mover remembers. A wish to cancel is
washed away by a new cycle and by nothing else.
"""

ADD_PREDICTION = "INSERT INTO predictions (id, task_id, created_at) VALUES (?, ?, ?)"
"""A prediction becomes a task's, for good."""

GET_BY_PREDICTION = "SELECT * FROM tasks WHERE prediction_id = ?"
"""The task that runs a prediction now."""

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

ADD_FIRST_EVENT = """
INSERT INTO events (task_id, seq, event, status, progress, at)
VALUES (:id, 1, 'queued', 'queued', 0.0, :now)
"""
"""The first line of a new task's history; takes the parameters of ADD_TASK."""

LIST_EVENTS = """
SELECT * FROM events WHERE task_id = :task_id AND seq > :after ORDER BY seq LIMIT :limit
"""
"""A task's history after a line."""

ENDED_BEFORE = """
SELECT id, files FROM tasks
WHERE status IN ('completed', 'failed') AND completed_at < :before
ORDER BY number LIMIT :limit
"""
"""The oldest tasks that ended before a time."""

KEPT_ELSEWHERE = """
SELECT DISTINCT json_extract(file.value, '$.sha256') FROM tasks, json_each(tasks.files) AS file
WHERE json_extract(file.value, '$.sha256') IN (SELECT value FROM json_each(:hashes))
  AND tasks.id NOT IN (SELECT value FROM json_each(:ids))
"""
"""Which of these files other tasks than these have too."""

FORGET_TASKS = """
DELETE FROM tasks
WHERE id IN (SELECT value FROM json_each(:ids))
  AND status IN ('completed', 'failed') AND completed_at < :before
"""
"""Tasks go, with their history, predictions and keys; one that is made again meanwhile stays."""
