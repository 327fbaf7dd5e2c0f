"""The SQL statements of the queue, which is shared fairly.

The owners take turns, in the order of their names, beginning after the one that was served last;
each owner's tasks run in their order.
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.store.statements.queries import is_time
from phoenix_compat.tasks.store.statements.scoped import Scoped, with_id

_IS_READY: Final = f"""(ready.not_before IS NULL OR ready.not_before <= :now
       OR ready.not_before > :tomorrow OR NOT {is_time("ready.not_before")})"""


def _first_ready(owner: str, condition: str = "") -> str:
    """SQL: the number of an owner's oldest task that may start now; NULL when there is none."""
    return f"""(SELECT ready.number FROM tasks AS ready
     WHERE ready.status = 'queued' AND ready.owner IS {owner} {condition} AND {_IS_READY}
     ORDER BY ready.number LIMIT 1)"""  # noqa: S608 - our own text


def _first_owner(condition: str) -> str:
    """SQL: the first owner with a queued task; NULL when there is none."""
    return f"(SELECT min(owner) FROM tasks WHERE status = 'queued' AND {condition})"  # noqa: S608 - our own text


def _owners(name: str, lap: int, bound: str) -> str:
    """SQL: a table of owners, in order, until `limit` of them have a task that may start.

    Each row also has the number of such owners before it. The last row may be NULL.
    """
    return f"""{name} (lap, owner, ready_owners) AS (
  SELECT {lap}, {_first_owner(bound)}, 0
  UNION ALL
  SELECT {lap}, {_first_owner(f"owner > {name}.owner AND {bound}")},
         ready_owners + ({_first_ready(f"{name}.owner")} IS NOT NULL)
  FROM {name} WHERE {name}.owner IS NOT NULL AND ready_owners < :limit
)"""  # noqa: S608 - our own text


DUE_TASKS: Final = f"""
WITH RECURSIVE {_owners("later", 1, "owner > :served")},
{_owners("earlier", 2, "owner <= :served")},
owners AS (
  SELECT lap, owner FROM later WHERE owner IS NOT NULL
  UNION ALL
  SELECT lap, owner FROM earlier WHERE owner IS NOT NULL
  UNION ALL
  SELECT 3, NULL
),
turns (round, lap, owner, number) AS (
  SELECT 1, owners.lap, owners.owner, tasks.number
  FROM owners JOIN tasks ON tasks.number = {_first_ready("owners.owner")}
  UNION ALL
  SELECT turns.round + 1, turns.lap, turns.owner, tasks.number
  FROM turns JOIN tasks
    ON tasks.number = {_first_ready("turns.owner", "AND ready.number > turns.number")}
  ORDER BY 1, 2, 3 LIMIT :limit
)
SELECT tasks.* FROM turns JOIN tasks ON tasks.number = turns.number
ORDER BY turns.round, turns.lap, turns.owner
"""  # noqa: S608 - our own text
"""The queued tasks that may start now, in the order in which the owners take turns.

The owner after `served` is the first. Each step is a search in an index, so the cost depends on
`limit`, and neither on the length of the queue nor on the number of owners. Only tasks that were
put back and have to wait are passed one by one; there are few, because each had been started.

No task ever has to wait for a day. A later `not_before` comes from a wrong clock and is ignored.
An owner that is NULL comes last, because the schema does not allow it.
"""

LONGEST_WAITING: Final = f"""
SELECT ready.* FROM tasks AS ready
WHERE ready.status = 'queued' AND {_IS_READY}
ORDER BY ready.number LIMIT :limit
"""  # noqa: S608 - our own text
"""The oldest queued tasks that may start now, whoever owns them."""

NEXT_DUE: Final = f"""
SELECT min(not_before) FROM tasks
WHERE status = 'queued' AND not_before > :now AND not_before <= :tomorrow
  AND {is_time("not_before")}
"""  # noqa: S608 - our own text
"""The time when the next waiting task may start."""

COUNT_QUEUED: Final = "SELECT count(*) FROM tasks WHERE status = 'queued'"
"""How many tasks are queued."""

COUNT_QUEUED_OF_OWNER: Final = """
SELECT count(*) FROM (
  SELECT 1 FROM tasks WHERE status = 'queued' AND owner = :owner LIMIT :limit
)
"""
"""How many tasks of an owner are queued, counted up to `limit`."""

QUEUE_POSITION: Final[Scoped] = with_id("""
WITH asked (owner, place) AS (
  SELECT owner, (SELECT count(*) FROM tasks AS before
                 WHERE before.status = 'queued' AND before.owner = tasks.owner
                   AND before.number <= tasks.number)
  FROM tasks WHERE {task} AND status = 'queued' LIMIT 1
),
queues (owner, length) AS (
  SELECT owner, count(*) FROM tasks WHERE status = 'queued' GROUP BY owner
)
SELECT coalesce(sum(min(
  queues.length,
  asked.place - ((queues.owner <= :served, queues.owner) > (asked.owner <= :served, asked.owner))
)), 0)
FROM asked CROSS JOIN queues
""")
"""A queued task's position, from 1; 0 when the task is not queued.

The n-th task of an owner starts in round n. Before it start up to n tasks of each owner whose turn
comes earlier in a round, and up to n - 1 of all others. The LIMIT makes SQLite count n only once.
"""
