"""PostgreSQL's texts of the statements of the queue.

They give the same order as SQLite's: `statements/queue_queries` explains it. Owners sort by their
bytes, because the column has the collation "C".
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.store.postgres.texts.list_texts import row_of
from phoenix_compat.tasks.store.statements import queue_queries
from phoenix_compat.tasks.store.statements.scoped import with_id

_IS_READY: Final = """(ready.not_before IS NULL OR ready.not_before <= :now::timestamptz
       OR ready.not_before > :tomorrow::timestamptz)"""


# The order names the index; see `list_texts`.
_IS_QUEUED: Final = "status = ANY ('{queued}')"


def _ready(owner: str, after: str, limit: str) -> str:
    """SQL: the numbers of an owner's tasks after a number that may start now, the oldest first."""
    return f"""
    SELECT ready.number FROM tasks AS ready
    WHERE ready.{_IS_QUEUED} AND ready.owner = {owner} AND ready.number > {after} AND {_IS_READY}
    ORDER BY ready.status, ready.number LIMIT {limit}"""  # noqa: S608 - our own text


def _first_owner(condition: str) -> str:
    """SQL: the first owner with a queued task; NULL when there is none."""
    return f"""(SELECT waiting.owner FROM tasks AS waiting
     WHERE waiting.{_IS_QUEUED} AND {condition}
     ORDER BY waiting.status, waiting.owner LIMIT 1)"""  # noqa: S608 - our own text


def _owners(name: str, lap: int, bound: str) -> str:
    """SQL: a table of owners, in order, until `limit` of them have a task that may start.

    Each row also has the number of such owners before it. The last row may be NULL.
    """
    return f"""{name} (lap, owner, ready_owners) AS (
  SELECT {lap}, {_first_owner(bound)}, 0
  UNION ALL
  SELECT {lap}, {_first_owner(f"waiting.owner > {name}.owner AND {bound}")},
         ready_owners + (({_ready(f"{name}.owner", "0", "1")}) IS NOT NULL)::int
  FROM {name} WHERE {name}.owner IS NOT NULL AND ready_owners < :limit::bigint
)"""  # noqa: S608 - our own text


# A recursive part cannot have ORDER BY and LIMIT in PostgreSQL, so the turns of each owner are
# numbered where they are found. Each owner that is ready has a turn in the first round, so none has
# more turns than the limit without those of the others.
_OWN_TURNS: Final = _ready(
    "first.owner", "first.number - 1", ":limit::bigint + 1 - (SELECT count(*) FROM first)"
)
_TURNS: Final = f"""
WITH RECURSIVE {_owners("later", 1, "waiting.owner > :served::text")},
{_owners("earlier", 2, "waiting.owner <= :served::text")},
owners AS (
  SELECT lap, owner FROM later WHERE owner IS NOT NULL
  UNION ALL
  SELECT lap, owner FROM earlier WHERE owner IS NOT NULL
),
first AS MATERIALIZED (
  SELECT lap, owner, number FROM (
    SELECT owners.lap, owners.owner, ({_ready("owners.owner", "0", "1")}) AS number FROM owners
  ) AS oldest WHERE number IS NOT NULL ORDER BY lap, owner LIMIT :limit::bigint
),
turns AS (
  SELECT row_number() OVER (PARTITION BY first.owner ORDER BY own.number) AS round,
         first.lap, first.owner, own.number
  FROM first CROSS JOIN LATERAL ({_OWN_TURNS}
  ) AS own
)
"""  # noqa: S608 - our own text

# The + 0 keeps PostgreSQL from reading all tasks with smaller numbers.
_POSITION: Final = """
WITH asked (owner, place) AS MATERIALIZED (
  SELECT owner, (SELECT count(*) FROM tasks AS earlier
                 WHERE earlier.status = 'queued' AND earlier.owner = tasks.owner
                   AND earlier.number + 0 <= tasks.number)
  FROM tasks WHERE {task} AND status = 'queued' LIMIT 1
),
queues (owner, length) AS (
  SELECT owner, count(*) FROM tasks WHERE status = 'queued' GROUP BY owner
)
SELECT coalesce(sum(least(
  queues.length,
  asked.place - (((queues.owner <= :served::text), queues.owner)
                 > ((asked.owner <= :served::text), asked.owner))::int
)), 0)::bigint AS position
FROM asked CROSS JOIN queues
"""

TEXTS: Final[dict[str, str]] = {
    queue_queries.DUE_TASKS: f"""
{_TURNS}
SELECT tasks.* FROM (
  SELECT round, lap, owner, number FROM turns ORDER BY round, lap, owner LIMIT :limit::bigint
) AS chosen {row_of("chosen")}
ORDER BY chosen.round, chosen.lap, chosen.owner
""",  # noqa: S608 - our own text
    queue_queries.LONGEST_WAITING: f"""
SELECT ready.* FROM tasks AS ready
WHERE ready.{_IS_QUEUED} AND {_IS_READY}
ORDER BY ready.status, ready.number LIMIT :limit
""",  # noqa: S608 - our own text
    queue_queries.NEXT_DUE: """
SELECT min(not_before) FROM tasks
WHERE status = 'queued' AND not_before > :now AND not_before <= :tomorrow
""",
    queue_queries.COUNT_QUEUED_OF_OWNER: """
SELECT count(*) FROM (
  SELECT 1 FROM tasks WHERE status = 'queued' AND owner = :owner LIMIT :limit
) AS queued
""",
    queue_queries.QUEUE_POSITION.all: with_id(_POSITION).all,
    queue_queries.QUEUE_POSITION.own: with_id(_POSITION).own,
}
