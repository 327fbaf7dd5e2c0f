"""Every question the store asks its database, each with a name and a sentence."""

from __future__ import annotations


def _is_time(column: str) -> str:
    """SQL: whether a column holds a time that this program wrote.

    As text "2026-99-99…" or "zzzz" is later than every time, and would be waited for without end.
    """
    digits = "[0-9]" * 2
    shape = f"{digits * 2}-{digits}-{digits}T{digits}:{digits}:{digits}.[0-9]{digits}Z"
    # With a modifier, SQLite makes 2 March of the text "30 February", which shows.
    normal = f"strftime('%Y-%m-%dT%H:%M:%S', {column}, '+0 days')"
    return (
        f"(typeof({column}) = 'text' AND {column} GLOB '{shape}' AND {column} >= '1970'"
        f" AND {normal} IS substr({column}, 1, 19))"
    )


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

PRUNE_KEYS = "DELETE FROM idempotency_keys WHERE created_at <= :before OR created_at > :tomorrow"
"""Old keys are forgotten, and those whose time is none."""

FORGET_KEY = "DELETE FROM idempotency_keys WHERE key = ?"
"""A key whose task is not there any more stands for nothing."""

GET_TASK = "SELECT * FROM tasks WHERE id = ?"
"""One task."""

LIST_TASKS = """
SELECT * FROM tasks
WHERE number < :before AND status IN (SELECT value FROM json_each(:statuses))
ORDER BY number DESC LIMIT :limit
"""
"""The newest tasks in some states, older than a number."""

LIST_ALL_TASKS = """
SELECT * FROM tasks WHERE number < :before ORDER BY number DESC LIMIT :limit
"""
"""The newest tasks, older than a number, in whatever state."""

DUE_TASKS = f"""
SELECT * FROM tasks
WHERE status = 'queued'
  AND (not_before IS NULL OR not_before <= :now OR not_before > :tomorrow
       OR NOT {_is_time("not_before")})
ORDER BY number LIMIT :limit
"""  # noqa: S608 - our own text
"""The longest-waiting tasks that may start now.

No task is told to wait for a day: whatever says so is wrong, or the clock was.
"""

NEXT_DUE = f"""
SELECT min(not_before) FROM tasks
WHERE status = 'queued' AND not_before > :now AND not_before <= :tomorrow
  AND {_is_time("not_before")}
"""  # noqa: S608 - our own text
"""When the next waiting task may start."""

UNFINISHED_TASKS = """
SELECT * FROM tasks
WHERE status NOT IN ('queued', 'completed', 'failed') OR status IS NULL ORDER BY number
"""
"""What a stopped server left in the provider's hands, or in no state that is known."""

MOVE_TASK = """
UPDATE tasks SET
  status = :status, progress = :progress, prediction_id = :prediction_id, attempts = :attempts,
  connect_failures = :connect_failures, not_before = :not_before, submitted_at = :submitted_at,
  started_at = :started_at, completed_at = :completed_at, result_data = :result_data,
  error_data = :error_data, retries = :retries, models_tried = :models_tried,
  provider_model = :provider_model, provider_input = :provider_input, fingerprint = :fingerprint,
  deadline_s = :deadline_s, files = :files, estimated_cost_usd = :estimated_cost_usd,
  cancel_requested = CASE WHEN cycle = :cycle AND cancel_requested IS 1 THEN 1 ELSE 0 END,
  cycle = :cycle, updated_at = :updated_at
WHERE id = :id AND status = :from_status AND cycle = :from_cycle
"""
"""One move; the row count says whether the task still stood where the mover thought.

The cycle tells a task that is made again from the one a late mover remembers. A wish to cancel is
washed away by a new cycle and by nothing else.
"""

SET_ASIDE = """
UPDATE tasks SET
  status = 'failed', progress = 0.0, error_data = :error_data, not_before = NULL,
  completed_at = :now, updated_at = :now,
  cancel_requested = CASE WHEN cancel_requested IS 1 THEN 1 ELSE 0 END
WHERE number = :number
  AND (status IS NULL OR status NOT IN ('completed', 'failed'))
"""
"""The end of a task whose row cannot be read. By number: its id may be what is broken."""

ADD_SET_ASIDE_EVENT = """
INSERT INTO events (task_id, seq, event, status, progress, data, at)
SELECT id, 1 + (SELECT coalesce(max(seq), 0) FROM events
                WHERE task_id = tasks.id AND seq > 0 AND seq < 1 << 31 AND typeof(seq) = 'integer'),
       'failed', 'failed', 0.0, :error_data, :now
FROM tasks WHERE number = :number AND id IS NOT NULL
"""
"""The last line of its history."""

GET_NUMBER = "SELECT * FROM tasks WHERE number = ?"
"""One task, whatever its id is."""

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
WHERE id = :id AND cancel_requested IS NOT 1 AND status IN ('queued', 'submitting', 'running')
"""
"""The wish that a task end; the worker sees to it."""

ADD_EVENT = """
INSERT INTO events (task_id, seq, event, status, progress, data, at)
SELECT :task_id, coalesce(max(seq), 0) + 1, :event, :status, :progress, :data, :at
FROM events
WHERE task_id = :task_id AND seq > 0 AND seq < 1 << 31 AND typeof(seq) = 'integer'
"""
"""The next line of a task's history; a number that is none does not count."""

ADD_FIRST_EVENT = """
INSERT INTO events (task_id, seq, event, status, progress, at)
VALUES (:id, 1, 'queued', 'queued', 0.0, :now)
"""
"""The first line of a new task's history; takes the parameters of ADD_TASK."""

LIST_EVENTS = """
SELECT * FROM events
WHERE task_id = :task_id AND seq > :after AND seq <= 1 << 31 AND typeof(seq) = 'integer'
ORDER BY seq LIMIT :limit
"""
"""A task's history after a line. A line without a number has no place in it."""

_ENDED_BEFORE = f"""
status IN ('completed', 'failed')
AND CASE WHEN completed_at BETWEEN :before AND :tomorrow THEN 0
         WHEN {_is_time("completed_at")} THEN completed_at < :before
         ELSE {_is_time("updated_at")} AND updated_at < :before END
"""
"""The newest are told by one comparison; a time that is none is replaced by the last change's."""

ENDED_BEFORE = f"""
SELECT id, number, files FROM tasks WHERE {_ENDED_BEFORE} ORDER BY number LIMIT :limit
"""  # noqa: S608 - our own text
"""The oldest tasks that ended before a time."""

COUNT_ENDED_BEFORE = f"SELECT count(*) FROM tasks WHERE {_ENDED_BEFORE}"  # noqa: S608 - our own text
"""How many there are."""

FILES_OF_TASKS = """
json_each(CASE WHEN typeof(tasks.files) = 'text' AND json_valid(tasks.files) THEN tasks.files
          ELSE '[]' END) AS file
"""
"""SQL: the kept files of a task, one a row; none where they cannot be read."""


def of_file(key: str) -> str:
    """SQL: a value of a kept file, NULL where there is none."""
    return f"json_extract(CASE file.type WHEN 'object' THEN file.value END, '$.{key}')"


KEPT_ELSEWHERE = f"""
SELECT {of_file("sha256")} AS sha256 FROM tasks, {FILES_OF_TASKS}
WHERE sha256 IN (SELECT value FROM json_each(:hashes))
  AND tasks.number NOT IN (SELECT value FROM json_each(:numbers))
UNION
SELECT hash.value FROM tasks, json_each(:hashes) AS hash
WHERE NOT (typeof(tasks.files) = 'text' AND json_valid(tasks.files))
  AND instr(CAST(tasks.files AS TEXT), hash.value) > 0
  AND tasks.number NOT IN (SELECT value FROM json_each(:numbers))
"""  # noqa: S608 - our own text
"""Which of these files other tasks than these have too, as far as can be read."""

FORGET_TASKS = f"""
DELETE FROM tasks
WHERE number IN (SELECT value FROM json_each(:numbers)) AND {_ENDED_BEFORE}
"""  # noqa: S608 - our own text
"""Tasks go, with their history, predictions and keys; one that is made again meanwhile stays."""
