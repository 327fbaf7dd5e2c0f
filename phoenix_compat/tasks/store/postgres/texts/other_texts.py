"""PostgreSQL's texts of the statements about uploads, webhooks and API keys."""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.store.statements import key_queries, outbox_queries, upload_queries

_LOCK_UPLOADS: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('phoenix_compat.uploads:' || :owner::text, 0))
"""
"""Let one server at a time count what an owner has sent."""

_LOCK_DELIVERIES: Final = """
SELECT pg_advisory_xact_lock(hashtextextended(
  'phoenix_compat.deliveries:' || :webhook::text || ':' || :task_id::text, 0))
"""
"""Let one server at a time change which event of a task is the next one for a webhook.

Otherwise an event that is added while the one before it is delivered would wait for ever.
"""

UPLOADS: Final[dict[str, str | tuple[str, ...]]] = {
    upload_queries.IMPORT_UPLOAD: """
INSERT INTO uploads (owner, sha256, content_type, size_bytes, created_at, used_at)
VALUES (:owner, :sha256, :content_type, :size_bytes, :now, :now) ON CONFLICT DO NOTHING
""",
    upload_queries.SENT_BYTES: (
        _LOCK_UPLOADS,
        """
SELECT coalesce(sum(size_bytes), 0)::bigint AS size_bytes, min(created_at) AS oldest FROM uploads
WHERE owner = :owner AND sha256 <> :sha256 AND created_at > :since
""",
    ),
    upload_queries.ADD_TASK_INPUT: """
INSERT INTO task_inputs (sha256, task_id) VALUES (:sha256, :task_id) ON CONFLICT DO NOTHING
""",
    upload_queries.ADOPT_UPLOADS: (
        """
DELETE FROM uploads AS own USING uploads AS adopted
WHERE own.owner = :owner AND adopted.owner = '' AND own.sha256 = adopted.sha256
""",
        "UPDATE uploads SET owner = :owner WHERE owner = ''",
    ),
    upload_queries.ADD_SENT: """
INSERT INTO provider_files (url, sha256, created_at, expires_at)
VALUES (:url, :sha256, :now, :expires_at)
ON CONFLICT (url) DO UPDATE SET sha256 = excluded.sha256, created_at = excluded.created_at,
  expires_at = excluded.expires_at
""",
}

WEBHOOKS: Final[dict[str, str | tuple[str, ...]]] = {
    outbox_queries.ADD_DELIVERY: (
        _LOCK_DELIVERIES,
        """
INSERT INTO webhook_deliveries (webhook, id, task_id, event, body, created_at, next_attempt_at)
VALUES (:webhook, :id, :task_id, :event, :body, :now, CASE WHEN NOT EXISTS (
  SELECT 1 FROM webhook_deliveries
  WHERE webhook = :webhook AND task_id = :task_id AND failed_at IS NULL
) THEN :now::timestamptz END)
""",
    ),
    outbox_queries.COUNT_DROPPED: """
INSERT INTO webhooks (name, dropped) VALUES (:webhook, 1)
ON CONFLICT (name) DO UPDATE SET dropped = webhooks.dropped + 1
""",
    outbox_queries.DELETE_DELIVERY: (_LOCK_DELIVERIES, outbox_queries.DELETE_DELIVERY),
    outbox_queries.RECORD_SUCCESS: """
INSERT INTO webhooks (name, delivered, last_success_at) VALUES (:webhook, 1, :now)
ON CONFLICT (name) DO UPDATE
SET delivered = webhooks.delivered + 1, last_success_at = excluded.last_success_at
""",
    outbox_queries.GIVE_UP_DELIVERY: (_LOCK_DELIVERIES, outbox_queries.GIVE_UP_DELIVERY),
    outbox_queries.DISABLE_SILENT_WEBHOOK: """
INSERT INTO webhooks (name, disabled_at, reason) VALUES (:webhook, :now, :reason)
ON CONFLICT (name) DO UPDATE SET disabled_at = excluded.disabled_at, reason = excluded.reason
WHERE webhooks.last_success_at IS NULL OR webhooks.last_success_at < :since
""",
    outbox_queries.REPLAY_DELIVERIES: """
UPDATE webhook_deliveries AS delivery
SET attempts = 0, first_attempt_at = NULL, failed_at = NULL,
  next_attempt_at = CASE WHEN NOT EXISTS (
    SELECT 1 FROM webhook_deliveries AS earlier
    WHERE earlier.webhook = :webhook AND earlier.task_id = delivery.task_id
      AND earlier.number < delivery.number
  ) THEN :now::timestamptz END
WHERE webhook = :webhook
""",
}

KEYS: Final[dict[str, str | tuple[str, ...]]] = {
    key_queries.RECORD_USE: """
UPDATE api_keys SET last_used_at = :at
WHERE name = :name AND created_at <= :at AND (last_used_at IS NULL OR last_used_at < :at)
""",
}
KEYS_LOCKING: Final[dict[str, str | tuple[str, ...]]] = {
    # Whether a name is free is decided before the key is added.
    key_queries.FIND_KEY: (
        "LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE",
        key_queries.FIND_KEY,
    ),
}
