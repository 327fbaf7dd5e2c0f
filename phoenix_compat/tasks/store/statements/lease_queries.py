"""The SQL statements by which several nodes share a database.

`:now` is the time of the database, and `:until` the end of a lease that begins now. Where the
database is shared, an engine puts its own clock in their place, so no node's clock decides; it
computes the end from `:lease_s`. Rows that another transaction has locked are passed over.
"""

from __future__ import annotations

from typing import Final

_HELD: Final = """id IN (SELECT value FROM json_each(:ids))
  AND (id || ':' || lease) IN (SELECT value FROM json_each(:held))"""
"""SQL: whether a task has one of these leases. `ids` is there for the index."""

UNFINISHED: Final = "status IN ('submitting', 'running')"
"""SQL: whether a task belongs to the node that has its lease."""

NOW: Final = "SELECT :now AS now"
"""The time of the database."""

ADD_ACCOUNT: Final = """
INSERT INTO provider_state (name, served_owner, state, updated_at)
VALUES ('account', '', '{}', :now) ON CONFLICT (name) DO NOTHING
"""
"""Add what is known of the provider's account, unless something is."""

LOCK_ACCOUNT: Final = """
SELECT served_owner, state, :now AS now FROM provider_state WHERE name = 'account'
"""
"""What is known of the account, which nobody else changes then; no row while another one does."""

GET_ACCOUNT: Final = """
SELECT served_owner, state, :now AS now FROM provider_state WHERE name = 'account' LIMIT 1
"""
"""The same, to look at."""

SET_ACCOUNT: Final = """
UPDATE provider_state SET served_owner = :served, state = :state, updated_at = :now
WHERE name = 'account'
"""
"""Record what is known of the account."""

CLAIM_TASKS: Final = """
UPDATE tasks SET
  status = 'submitting', attempts = attempts + 1, not_before = NULL, updated_at = :now,
  progress = CASE WHEN progress < :progress THEN :progress ELSE progress END,
  submitted_at = coalesce(submitted_at, :now), lease = lease + 1, lease_until = :until, node = :node
WHERE number IN (SELECT number FROM tasks
  WHERE number IN (SELECT value FROM json_each(:numbers))
    AND status = 'queued' AND cancel_requested = 0)
RETURNING *
"""
"""Take queued tasks whose creates are sent next, as far as they still wait."""

ADD_CLAIM_EVENTS: Final = """
INSERT INTO events (task_id, seq, event, status, progress, at)
SELECT id, 1 + (SELECT coalesce(max(seq), 0) FROM events WHERE task_id = tasks.id),
       'submitting', 'submitting', progress, updated_at
FROM tasks WHERE number IN (SELECT value FROM json_each(:numbers))
"""
"""The events of CLAIM_TASKS."""

TAKE_OVER: Final = f"""
UPDATE tasks SET lease = lease + 1, lease_until = :until, node = :node
WHERE number IN (SELECT number FROM tasks
  WHERE {UNFINISHED} AND (lease_until IS NULL OR lease_until < :now)
    AND id NOT IN (SELECT value FROM json_each(:skip))
  ORDER BY number LIMIT :limit)
RETURNING *
"""  # noqa: S608 - our own text
"""Take the oldest tasks that have been begun and that no node has any more."""

HELD_TASKS: Final = f"SELECT id, cancel_requested FROM tasks WHERE {_HELD}"  # noqa: S608 - our own text
"""Those of some leases that no other node has taken since."""

RENEW: Final = f"""
UPDATE tasks SET lease_until = :until
WHERE number IN (SELECT number FROM tasks WHERE {_HELD} AND lease_until IS NOT NULL)
RETURNING id
"""  # noqa: S608 - our own text
"""Prolong leases. Tasks that have ended or wait again have none."""

RELEASE: Final = f"UPDATE tasks SET lease_until = NULL WHERE {_HELD}"  # noqa: S608 - our own text
"""Let other nodes take these tasks at once."""

SEE_NODE: Final = """
INSERT INTO nodes (id, name, version, url, started_at, seen_at, running, deaf)
VALUES (:id, :name, :version, :url, :now, :now, :running, :deaf)
ON CONFLICT (id) DO UPDATE SET
  url = excluded.url, seen_at = excluded.seen_at, running = excluded.running, deaf = excluded.deaf
"""
"""Record that a node is there."""

COUNT_NODES: Final = "SELECT count(*) AS nodes FROM nodes WHERE seen_at >= :since"
"""How many nodes were seen since a time."""

FORGET_NODES: Final = "DELETE FROM nodes WHERE id = :id OR seen_at < :since"
"""Forget a node that leaves, and those that were not seen for long."""

LIST_NODES: Final = f"""
SELECT nodes.*, :now AS now,
  (SELECT count(*) FROM tasks WHERE node = nodes.id AND {UNFINISHED} AND lease_until >= :now)
    AS leases
FROM nodes ORDER BY started_at, id
"""  # noqa: S608 - our own text
"""All nodes, with the tasks that they have."""

TAKE_ROLE: Final = """
INSERT INTO roles (name, node, until) VALUES (:name, :node, :until)
ON CONFLICT (name) DO UPDATE SET node = excluded.node, until = excluded.until
WHERE roles.node = excluded.node OR roles.until < :now
"""
"""Take a role, or keep it; the row count is 0 while another node has it."""

DROP_ROLE: Final = "DELETE FROM roles WHERE name = :name AND node = :node"
"""Let another node take a role at once."""
