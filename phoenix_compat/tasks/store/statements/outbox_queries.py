"""The SQL statements about the operator's webhooks."""

from __future__ import annotations

from typing import Final

LAST_SEQ: Final = "SELECT max(seq) AS seq FROM events WHERE task_id = ?"
"""The number of the event that was just written."""

COUNT_DELIVERIES: Final = "SELECT count(*) FROM webhook_deliveries WHERE webhook = ?"
"""How many deliveries of a webhook are kept."""

ADD_DELIVERY: Final = """
INSERT INTO webhook_deliveries (webhook, id, task_id, event, body, created_at, next_attempt_at)
VALUES (:webhook, :id, :task_id, :event, :body, :now, CASE WHEN EXISTS (
  SELECT 1 FROM webhook_deliveries
  WHERE webhook = :webhook AND task_id = :task_id AND failed_at IS NULL
) THEN NULL ELSE :now END)
"""
"""Keep an event for a webhook. It waits for an earlier event of its task, if there is one."""

FREE_NEXT: Final = """
UPDATE webhook_deliveries SET next_attempt_at = :now
WHERE next_attempt_at IS NULL AND number = (
  SELECT min(number) FROM webhook_deliveries
  WHERE webhook = :webhook AND task_id = :task_id AND failed_at IS NULL
)
"""
"""Let the next event of a task go, after the one before it was delivered or given up."""

COUNT_DROPPED: Final = """
INSERT INTO webhooks (name, dropped) VALUES (:webhook, 1)
ON CONFLICT (name) DO UPDATE SET dropped = dropped + 1
"""
"""Record that an event was too many to keep."""

DUE_DELIVERIES: Final = """
SELECT * FROM webhook_deliveries
WHERE webhook = :webhook AND failed_at IS NULL AND next_attempt_at <= :now
  AND number NOT IN (SELECT value FROM json_each(:running))
  AND NOT EXISTS (SELECT 1 FROM webhooks WHERE name = :webhook AND disabled_at IS NOT NULL)
ORDER BY next_attempt_at, number LIMIT :limit
"""
"""What may be sent now to a webhook that is not disabled."""

NEXT_DELIVERY: Final = """
SELECT min(next_attempt_at) AS at FROM webhook_deliveries
WHERE webhook = :webhook AND failed_at IS NULL AND next_attempt_at > :now
"""
"""When the next of a webhook's deliveries may be sent."""

DELETE_DELIVERY: Final = "DELETE FROM webhook_deliveries WHERE number = :number AND id = :id"
"""Forget what was delivered."""

RECORD_SUCCESS: Final = """
INSERT INTO webhooks (name, delivered, last_success_at) VALUES (:webhook, 1, :now)
ON CONFLICT (name) DO UPDATE
SET delivered = delivered + 1, last_success_at = excluded.last_success_at
"""
"""Record that a webhook took an event."""

RETRY_DELIVERY: Final = """
UPDATE webhook_deliveries SET attempts = attempts + 1, error = :error,
  first_attempt_at = coalesce(first_attempt_at, :attempted_at), next_attempt_at = :next_attempt_at
WHERE number = :number AND id = :id
"""
"""Record a failed attempt, and when the next one is."""

GIVE_UP_DELIVERY: Final = """
UPDATE webhook_deliveries SET attempts = attempts + 1, error = :error, failed_at = :now
WHERE number = :number AND id = :id
"""
"""Record that the last attempt failed too."""

DISABLE_WEBHOOK: Final = """
INSERT INTO webhooks (name, disabled_at, reason) VALUES (:webhook, :now, :reason)
ON CONFLICT (name) DO UPDATE SET disabled_at = excluded.disabled_at, reason = excluded.reason
"""
"""Send nothing to a webhook any more."""

DISABLE_SILENT_WEBHOOK: Final = """
INSERT INTO webhooks (name, disabled_at, reason) VALUES (:webhook, :now, :reason)
ON CONFLICT (name) DO UPDATE SET disabled_at = excluded.disabled_at, reason = excluded.reason
WHERE last_success_at IS NULL OR last_success_at < :since
"""
"""The same, if it has taken nothing since a time. The row count is 0 if it has."""

ENABLE_WEBHOOK: Final = """
UPDATE webhooks SET disabled_at = NULL, reason = NULL WHERE name = :webhook
"""
"""Send to a webhook again."""

REPLAY_DELIVERIES: Final = """
UPDATE webhook_deliveries AS delivery
SET attempts = 0, first_attempt_at = NULL, failed_at = NULL, next_attempt_at = CASE WHEN EXISTS (
  SELECT 1 FROM webhook_deliveries AS earlier
  WHERE earlier.webhook = :webhook AND earlier.task_id = delivery.task_id
    AND earlier.number < delivery.number
) THEN NULL ELSE :now END
WHERE webhook = :webhook
"""
"""Send everything that a webhook does not have, from now on as if it were new."""

GET_WEBHOOKS: Final = "SELECT * FROM webhooks ORDER BY name"
"""How all webhooks are doing."""

SUM_DELIVERIES: Final = """
SELECT webhook, count(*) - count(failed_at) AS pending, count(failed_at) AS failed,
  min(created_at) AS oldest_at
FROM webhook_deliveries GROUP BY webhook
"""
"""How many deliveries of each webhook wait, and how many were given up."""

LIST_DELIVERIES: Final = """
SELECT number, webhook, id, task_id, event, created_at, attempts, next_attempt_at, error, failed_at
FROM webhook_deliveries WHERE webhook = :webhook ORDER BY number LIMIT :limit
"""
"""The oldest deliveries of a webhook, without their bodies."""

FORGET_DELIVERIES: Final = """
DELETE FROM webhook_deliveries WHERE created_at < :before
  AND (failed_at IS NOT NULL OR webhook NOT IN (SELECT value FROM json_each(:webhooks)))
"""
"""Delete old deliveries that were given up, or whose webhook is no longer in the settings."""
