"""PostgreSQL's texts of the statements in `statements/queries`.

Several servers write at the same time, so what is read before it is changed is locked; see
`LOCKING`. The sums of all owners together are locked before those of one. So transactions with the
orders of several owners wait for each other at their first order, and never in circles.
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.store.statements import queries

_HAS_LEASE: Final = "lease = :lease"

_ENDED_BEFORE: Final = """
status IN ('completed', 'failed') AND coalesce(completed_at, updated_at) < :before
"""

_HAS_NUL: Final = r"strpos(tasks.files::text, '\u0000') > 0"

_NEXT_SEQ: Final = "coalesce((SELECT max(seq) FROM events WHERE task_id = {task}), 0) + 1"

_SUMS_OF: Final = "period IN (:day::text, :month::text) AND subject IN ('all', :owner::text)"

TEXTS: Final[dict[str, str]] = {
    queries.ADD_TASK: """
INSERT INTO tasks (id, type, task_type, model, input, provider_input, fingerprint, status,
                   progress, deadline_s, estimated_cost_usd, created_at, updated_at, owner,
                   traceparent, reserved_microdollars, reserved_on)
VALUES (:id, :type, :task_type, :model, :input, :provider_input, :fingerprint, 'queued',
        0.0, :deadline_s, :estimated_cost_usd, :now::timestamptz, :now::timestamptz, :owner,
        :traceparent, :reserved_microdollars,
        to_char(:now::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD'))
RETURNING number
""",
    queries.ADOPT_KEYS: """
UPDATE idempotency_keys SET owner = :owner
WHERE owner = '' AND task_id IN (
    SELECT id FROM tasks WHERE owner = '' ORDER BY number LIMIT :limit)
  AND NOT EXISTS (SELECT 1 FROM idempotency_keys AS own
                  WHERE own.owner = :owner AND own.key = idempotency_keys.key)
""",
    queries.MOVE_TASK: f"""
UPDATE tasks SET
  status = :status, progress = :progress, prediction_id = :prediction_id, attempts = :attempts,
  connect_failures = :connect_failures, not_before = :not_before, submitted_at = :submitted_at,
  started_at = :started_at, completed_at = :completed_at, result_data = :result_data,
  error_data = :error_data, retries = :retries, models_tried = :models_tried,
  provider_model = :provider_model, fingerprint = :fingerprint,
  provider_input = CASE WHEN fingerprint = :fingerprint THEN provider_input
                        ELSE :provider_input::text::json END,
  deadline_s = :deadline_s, files = :files, estimated_cost_usd = :estimated_cost_usd,
  traceparent = :traceparent,
  cancel_requested = CASE WHEN cycle = :cycle THEN cancel_requested ELSE 0 END,
  cycle = :cycle, updated_at = :updated_at,
  lease_until = CASE WHEN :status::text IN ('submitting', 'running') THEN lease_until END
WHERE id = :id AND status = :from_status AND cycle = :from_cycle AND {_HAS_LEASE}
RETURNING owner, cancel_requested
""",  # noqa: S608 - our own text
    queries.SET_ASIDE: f"""
UPDATE tasks SET status = 'failed', progress = 0.0, error_data = :error_data, not_before = NULL,
  completed_at = :now, updated_at = :now, lease_until = NULL
WHERE number = :number AND {_HAS_LEASE} AND status NOT IN ('completed', 'failed')
""",  # noqa: S608 - our own text
    queries.ADD_SET_ASIDE_EVENT: f"""
INSERT INTO events (task_id, seq, event, status, progress, data, at)
SELECT id, {_NEXT_SEQ.format(task="tasks.id")}, 'failed', 'failed', 0.0,
       :error_data::json, :now::timestamptz
FROM tasks WHERE number = :number
""",  # noqa: S608 - our own text
    # A state is known, since PostgreSQL checks it.
    queries.UNFINISHED_TASKS: """
SELECT * FROM tasks WHERE status IN ('submitting', 'running') ORDER BY number
""",
    queries.UNCLAIMED_PREDICTIONS: """
SELECT wanted.value FROM unnest(:ids::text[]) AS wanted (value)
WHERE NOT EXISTS (SELECT 1 FROM predictions WHERE predictions.id = wanted.value)
""",
    queries.RECORD_PROGRESS: f"""
UPDATE tasks SET progress = :progress, updated_at = :now
WHERE id = :id AND status = 'running' AND progress < :progress AND {_HAS_LEASE}
RETURNING *
""",  # noqa: S608 - our own text
    queries.ADD_EVENT: f"""
INSERT INTO events (task_id, seq, event, status, progress, data, at)
VALUES (:task_id, {_NEXT_SEQ.format(task=":task_id")}, :event, :status, :progress, :data, :at)
""",  # noqa: S608 - our own text
    queries.ENDED_BEFORE: f"""
SELECT id, number, files FROM tasks WHERE {_ENDED_BEFORE} ORDER BY number LIMIT :limit
""",  # noqa: S608 - our own text
    queries.COUNT_ENDED_BEFORE: f"SELECT count(*) FROM tasks WHERE {_ENDED_BEFORE}",  # noqa: S608 - our own text
    # json_array_elements and ->> refuse a column with \u0000; it counts if its text has the hash.
    queries.SHARED_HASHES: f"""
SELECT file.sha256 FROM tasks CROSS JOIN LATERAL (
  SELECT value ->> 'sha256' AS sha256 FROM json_array_elements(
    CASE WHEN json_typeof(tasks.files) = 'array' AND NOT {_HAS_NUL} THEN tasks.files ELSE '[]' END
  ) WHERE json_typeof(value) = 'object'
) AS file
WHERE file.sha256 = ANY (:hashes::text[]) AND tasks.number <> ALL (:numbers::bigint[])
UNION
SELECT wanted.value FROM tasks, unnest(:hashes::text[]) AS wanted (value)
WHERE {_HAS_NUL} AND strpos(tasks.files::text, wanted.value) > 0
  AND tasks.number <> ALL (:numbers::bigint[])
""",  # noqa: S608 - our own text
    queries.DELETE_TASKS: f"""
DELETE FROM tasks WHERE number = ANY (:numbers::bigint[]) AND {_ENDED_BEFORE}
""",  # noqa: S608 - our own text
    queries.LARGEST_SPENT: """
SELECT m.subject, m.tasks, m.microdollars, d.tasks AS day_tasks, d.microdollars AS day_microdollars
FROM spending AS m LEFT JOIN spending AS d ON d.period = :day AND d.subject = m.subject
WHERE m.period = :month AND m.subject >= 'owner:' AND m.subject < 'owner;'
  AND strpos(m.subject, :text) > 0
ORDER BY m.microdollars DESC, m.tasks DESC, m.subject LIMIT :limit
""",
    queries.ADD_SPENT: """
INSERT INTO spending (period, subject, tasks, microdollars)
VALUES (:month, 'all', :tasks, :microdollars), (:day, 'all', :tasks, :microdollars),
       (:month, :owner, :tasks, :microdollars), (:day, :owner, :tasks, :microdollars)
ON CONFLICT (period, subject) DO UPDATE SET
  tasks = spending.tasks + excluded.tasks,
  microdollars = spending.microdollars + excluded.microdollars
WHERE spending.tasks >= 0 AND spending.microdollars >= 0
""",
    queries.RELEASE_SPENT: f"""
WITH sums AS MATERIALIZED (
  SELECT period, subject FROM spending WHERE {_SUMS_OF}
    AND tasks >= 0 AND microdollars >= 0
  ORDER BY subject, period FOR UPDATE
)
UPDATE spending SET microdollars = greatest(spending.microdollars - :microdollars, 0)
FROM sums WHERE spending.period = sums.period AND spending.subject = sums.subject
""",  # noqa: S608 - our own text
}
for _form in ("all", "own"):
    TEXTS[getattr(queries.REQUEST_CANCEL, _form)] = getattr(queries.REQUEST_CANCEL, _form).replace(
        "cancel_requested IS NOT 1", "cancel_requested = 0"
    )
    TEXTS[getattr(queries.LIST_EVENTS, _form)] = (
        getattr(queries.LIST_EVENTS, _form)
        .replace("AND seq <= 1 << 31 AND typeof(seq) = 'integer'", "")
        .replace(":after", ":after::bigint")
    )

LOCKING: Final[dict[str, str]] = {text: f"{text} FOR NO KEY UPDATE" for text in queries.GET_TASK}
"""Texts that are used inside of transactions, which decide by what these rows have."""
