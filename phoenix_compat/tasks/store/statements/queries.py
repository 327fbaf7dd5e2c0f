"""The SQL statements of the store, except those of `list_queries` and `queue_queries`."""

from __future__ import annotations

from phoenix_compat.tasks.store.statements.list_queries import COLUMNS_WITHOUT_INPUTS
from phoenix_compat.tasks.store.statements.scoped import with_id


def is_time(column: str) -> str:
    """SQL: whether a column holds a valid time.

    Compared as text, "2026-99-99…" or "zzzz" would be later than every time.
    """
    digits = "[0-9]" * 2
    shape = f"{digits * 2}-{digits}-{digits}T{digits}:{digits}:{digits}.[0-9]{digits}Z"
    # The modifier makes SQLite turn "30 February" into 2 March, which differs from the text.
    normal = f"strftime('%Y-%m-%dT%H:%M:%S', {column}, '+0 days')"
    return (
        f"(typeof({column}) = 'text' AND {column} GLOB '{shape}' AND {column} >= '1970'"
        f" AND {normal} IS substr({column}, 1, 19))"
    )


ADD_TASK = """
INSERT INTO tasks (id, type, task_type, model, input, provider_input, fingerprint, status,
                   progress, deadline_s, estimated_cost_usd, created_at, updated_at, owner,
                   traceparent, reserved_microdollars, reserved_on)
VALUES (:id, :type, :task_type, :model, :input, :provider_input, :fingerprint, 'queued',
        0.0, :deadline_s, :estimated_cost_usd, :now, :now, :owner,
        :traceparent, :reserved_microdollars, substr(:now, 1, 10))
"""
"""Add a task at the end of the queue; for `Transaction.insert`."""

GET_KEY = """
SELECT body_fingerprint, task_id FROM idempotency_keys WHERE owner = :owner AND key = :key
"""
"""The task of an owner's idempotency key."""

ADD_KEY = """
INSERT INTO idempotency_keys (owner, key, body_fingerprint, task_id, created_at)
VALUES (:owner, :key, :body_fingerprint, :task_id, :now)
"""
"""Add an idempotency key with its task."""

DELETE_OLD_KEYS = (
    "DELETE FROM idempotency_keys WHERE created_at <= :before OR created_at > :tomorrow"
)
"""Delete keys that are old or have an invalid time."""

DELETE_KEY = "DELETE FROM idempotency_keys WHERE owner = :owner AND key = :key"
"""Delete a key, because its task no longer exists."""

_OWNERLESS = "SELECT number FROM tasks WHERE owner = '' ORDER BY number LIMIT :limit"

ADOPT_KEYS = f"""
UPDATE OR IGNORE idempotency_keys INDEXED BY idempotency_keys_by_task SET owner = :owner
WHERE owner = '' AND task_id IN (SELECT id FROM tasks WHERE number IN ({_OWNERLESS}))
"""  # noqa: S608 - our own text
"""Give the keys of the tasks of ADOPT_TASKS to an owner, except those that the owner has too."""

ADOPT_TASKS = f"UPDATE tasks SET owner = :owner WHERE number IN ({_OWNERLESS})"  # noqa: S608 - our own text
"""Give some tasks of nobody in particular to an owner, the oldest first."""

GET_TASK = with_id("SELECT * FROM tasks WHERE {task}")
"""The task with an id."""

GET_SUMMARY = with_id(f"SELECT {COLUMNS_WITHOUT_INPUTS} FROM tasks WHERE {{task}}")  # noqa: S608 - our own text
"""The task with an id, without its inputs."""

GET_SUMMARIES = f"""
SELECT {COLUMNS_WITHOUT_INPUTS} FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))
"""  # noqa: S608 - our own text
"""Those of these tasks that exist, without their inputs."""

COUNT_BY_STATUS = """
SELECT status, count(*) FROM tasks
WHERE status IN (SELECT value FROM json_each(:statuses)) GROUP BY status
"""

UNFINISHED_TASKS = """
SELECT * FROM tasks
WHERE status NOT IN ('queued', 'completed', 'failed') OR status IS NULL ORDER BY number
"""
"""Tasks that are submitting, running, or in an unknown state."""

_HAS_LEASE = "(lease = :lease OR typeof(lease) <> 'integer' OR lease < 0)"
"""SQL: whether the task has the lease that the caller knows. One that cannot be read is ignored."""

MOVE_TASK = f"""
UPDATE tasks SET
  status = :status, progress = :progress, prediction_id = :prediction_id, attempts = :attempts,
  connect_failures = :connect_failures, not_before = :not_before, submitted_at = :submitted_at,
  started_at = :started_at, completed_at = :completed_at, result_data = :result_data,
  error_data = :error_data, retries = :retries, models_tried = :models_tried,
  provider_model = :provider_model, provider_input = :provider_input, fingerprint = :fingerprint,
  deadline_s = :deadline_s, files = :files, estimated_cost_usd = :estimated_cost_usd,
  traceparent = :traceparent,
  cancel_requested = CASE WHEN cycle = :cycle AND cancel_requested IS 1 THEN 1 ELSE 0 END,
  cycle = :cycle, updated_at = :updated_at,
  lease_until = CASE WHEN :status IN ('submitting', 'running') THEN lease_until END
WHERE id = :id AND status = :from_status AND cycle = :from_cycle AND {_HAS_LEASE}
RETURNING owner, cancel_requested
"""  # noqa: S608 - our own text
"""Move a task. No row is returned when it was no longer in the expected state and cycle.

The cycle is compared so that a late move of an earlier cycle does not change a retried task. The
lease is compared so that a node changes nothing after another one has taken the task. Only a new
cycle clears `cancel_requested`. A task that waits or has ended belongs to no node.
"""

SET_ASIDE = f"""
UPDATE tasks SET
  status = 'failed', progress = 0.0, error_data = :error_data, not_before = NULL,
  completed_at = :now, updated_at = :now, lease_until = NULL,
  cancel_requested = CASE WHEN cancel_requested IS 1 THEN 1 ELSE 0 END
WHERE number = :number AND {_HAS_LEASE}
  AND (status IS NULL OR status NOT IN ('completed', 'failed'))
"""  # noqa: S608 - our own text
"""Fail a task whose row cannot be read. It is found by number, since its id may be unreadable."""

ADD_SET_ASIDE_EVENT = """
INSERT INTO events (task_id, seq, event, status, progress, data, at)
SELECT id, 1 + (SELECT coalesce(max(seq), 0) FROM events
                WHERE task_id = tasks.id AND seq > 0 AND seq < 1 << 31 AND typeof(seq) = 'integer'),
       'failed', 'failed', 0.0, :error_data, :now
FROM tasks WHERE number = :number AND id IS NOT NULL
"""
"""The event of SET_ASIDE."""

GET_NUMBER = "SELECT * FROM tasks WHERE number = ?"
"""The task with a number, for a task whose id may be unreadable."""

ADD_PREDICTION = "INSERT INTO predictions (id, task_id, created_at) VALUES (?, ?, ?)"
"""Assign a prediction to a task. It stays assigned even if the task gives it up."""

UNCLAIMED_PREDICTIONS = """
SELECT value FROM json_each(:ids) WHERE value NOT IN (SELECT id FROM predictions)
"""
"""Those of these predictions that no task has or had."""

GET_BY_PREDICTION = "SELECT * FROM tasks WHERE prediction_id = ?"
"""The task that has a prediction now."""

NODE_OF = "SELECT node FROM tasks WHERE id = ?"
"""The node that took a task last; NULL if none did."""

RECORD_PROGRESS = f"""
UPDATE tasks SET progress = :progress, updated_at = :now
WHERE id = :id AND status = 'running' AND progress < :progress AND {_HAS_LEASE}
RETURNING *
"""  # noqa: S608 - our own text
"""Raise a running task's progress; returns the task if it was lower."""

REQUEST_CANCEL = with_id("""
UPDATE tasks SET cancel_requested = 1
WHERE {task} AND cancel_requested IS NOT 1 AND status IN ('queued', 'submitting', 'running')
""")
"""Record that a client wants to cancel a task; the worker carries it out."""

ADD_EVENT = """
INSERT INTO events (task_id, seq, event, status, progress, data, at)
SELECT :task_id, coalesce(max(seq), 0) + 1, :event, :status, :progress, :data, :at
FROM events
WHERE task_id = :task_id AND seq > 0 AND seq < 1 << 31 AND typeof(seq) = 'integer'
"""
"""Add the next event to a task's history. Invalid values of `seq` are ignored."""

ADD_FIRST_EVENT = """
INSERT INTO events (task_id, seq, event, status, progress, at)
VALUES (:id, 1, 'queued', 'queued', 0.0, :now)
"""
"""Add the first event of a new task; takes the parameters of ADD_TASK."""

LIST_EVENTS = with_id("""
SELECT * FROM events
WHERE task_id = (SELECT id FROM tasks WHERE {task})
  AND seq > :after AND seq <= 1 << 31 AND typeof(seq) = 'integer'
ORDER BY seq LIMIT :limit
""")
"""A task's events after a number; events with an invalid `seq` are left out."""

_ENDED_BEFORE = f"""
status IN ('completed', 'failed')
AND CASE WHEN completed_at BETWEEN :before AND :tomorrow THEN 0
         WHEN {is_time("completed_at")} THEN completed_at < :before
         ELSE {is_time("updated_at")} AND updated_at < :before END
"""
"""SQL: whether a task ended before a time. An invalid `completed_at` is replaced by `updated_at`.

The first WHEN is only for speed: one comparison excludes most of the newer tasks.
"""

ENDED_BEFORE = f"""
SELECT id, number, files FROM tasks WHERE {_ENDED_BEFORE} ORDER BY number LIMIT :limit
"""  # noqa: S608 - our own text
"""The oldest tasks that ended before a time."""

COUNT_ENDED_BEFORE = f"SELECT count(*) FROM tasks WHERE {_ENDED_BEFORE}"  # noqa: S608 - our own text
"""How many tasks ended before a time."""

FILES_OF_TASKS = """
json_each(CASE WHEN typeof(tasks.files) = 'text' AND json_valid(tasks.files) THEN tasks.files
          ELSE '[]' END) AS file
"""
"""SQL: the stored files of a task, one for each row; none when the column cannot be read."""


def of_file(key: str) -> str:
    """SQL: a value of a stored file; NULL when it is absent."""
    return f"json_extract(CASE file.type WHEN 'object' THEN file.value END, '$.{key}')"


SHARED_HASHES = f"""
SELECT {of_file("sha256")} AS sha256 FROM tasks, {FILES_OF_TASKS}
WHERE sha256 IN (SELECT value FROM json_each(:hashes))
  AND tasks.number NOT IN (SELECT value FROM json_each(:numbers))
UNION
SELECT hash.value FROM tasks, json_each(:hashes) AS hash
WHERE NOT (typeof(tasks.files) = 'text' AND json_valid(tasks.files))
  AND instr(CAST(tasks.files AS TEXT), hash.value) > 0
  AND tasks.number NOT IN (SELECT value FROM json_each(:numbers))
"""  # noqa: S608 - our own text
"""Which of these hashes other tasks have as outputs too.

A column that is not valid JSON counts if its text contains the hash.
"""

UPLOADED_HASHES = """
SELECT sha256 FROM uploads WHERE sha256 IN (SELECT value FROM json_each(:hashes))
"""
"""Which of these hashes are also those of files that clients sent."""

DELETE_TASKS = f"""
DELETE FROM tasks
WHERE number IN (SELECT value FROM json_each(:numbers)) AND {_ENDED_BEFORE}
"""  # noqa: S608 - our own text
"""Delete tasks with their history, predictions and keys, unless they were retried meanwhile."""

GET_SPENT = "SELECT tasks, microdollars FROM spending WHERE period = ? AND subject = ?"
"""The sums of one period and subject."""

LARGEST_SPENT = """
SELECT m.subject, m.tasks, m.microdollars, d.tasks AS day_tasks, d.microdollars AS day_microdollars
FROM spending AS m LEFT JOIN spending AS d ON d.period = :day AND d.subject = m.subject
WHERE m.period = :month AND m.subject >= 'owner:' AND m.subject < 'owner;'
  AND instr(m.subject, :text) > 0
ORDER BY m.microdollars DESC, m.tasks DESC, m.subject LIMIT :limit
"""
"""The owners that ordered most in a month, with what they ordered on a day of it."""


def _is_sum(column: str) -> str:
    """SQL: whether a sum is one that can be changed; others are left as they are."""
    return f"(typeof({column}) = 'integer' AND {column} >= 0 AND {column} < 1 << 62)"


_ARE_SUMS = f"{_is_sum('spending.tasks')} AND {_is_sum('spending.microdollars')}"

ADD_SPENT = f"""
INSERT INTO spending (period, subject, tasks, microdollars)
VALUES (:day, 'all', :tasks, :microdollars), (:month, 'all', :tasks, :microdollars),
       (:day, :owner, :tasks, :microdollars), (:month, :owner, :tasks, :microdollars)
ON CONFLICT (period, subject) DO UPDATE SET
  tasks = spending.tasks + excluded.tasks,
  microdollars = spending.microdollars + excluded.microdollars
WHERE {_ARE_SUMS}
"""  # noqa: S608 - our own text
"""Add to the sums of a day and of its month: to those of all, and to those of one owner."""

RELEASE_SPENT = f"""
UPDATE spending SET microdollars = max(microdollars - :microdollars, 0)
WHERE period IN (:day, :month) AND subject IN ('all', :owner) AND {_ARE_SUMS}
"""  # noqa: S608 - our own text
"""Take back from the same sums. Sums that were pruned stay away."""

RESERVED = "SELECT owner, reserved_microdollars, reserved_on FROM tasks WHERE id = ?"
"""What is counted for a task."""

SET_RESERVED = "UPDATE tasks SET reserved_microdollars = ?, reserved_on = ? WHERE id = ?"
"""Record what is counted for a task."""

PRUNE_SPENT = """
DELETE FROM spending WHERE (period, subject) IN (
  SELECT period, subject FROM spending
  WHERE (length(period) = 10 AND period < :day) OR (length(period) = 7 AND period < :month)
  LIMIT :limit)
"""
"""Delete the sums of some of the days and months before these."""
