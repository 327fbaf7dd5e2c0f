"""No question of a client or of the worker reads all tasks, whatever PostgreSQL believes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import pytest

from phoenix_compat.tasks.store.postgres.database import PostgresDatabase
from phoenix_compat.tasks.store.postgres.dialect import SLOW, Dialect
from phoenix_compat.tasks.store.postgres.values import set_codecs
from phoenix_compat.tasks.store.statements import (
    lease_queries,
    list_queries,
    queries,
    queue_queries,
)
from tests.integration.store_contract.engines import POSTGRES_SCHEMA as SCHEMA

TASKS: Final = 20_000
MAX_BLOCKS: Final = 400
"""A table of so many tasks has more than a thousand, and walking through it reads each task's."""

# The queued tasks are the last ones, all of one owner; nobody else has any task, and none runs.
FILL: Final = f"""
INSERT INTO tasks (id, type, task_type, model, fingerprint, status, created_at, updated_at,
                   completed_at, owner, input, provider_input, result_data)
SELECT 'task-' || i, 'image', 'image_gen', 'a/b', 'f',
  CASE WHEN i > {TASKS - 1_000} THEN 'queued' ELSE 'completed' END, now(), now(), now(), 'ann',
  '{{"prompt": "a cat"}}', ('{{"prompt": "' || repeat('x', 200) || '"}}')::json, '{{"url": "u"}}'
FROM generate_series(1, {TASKS}) AS i
"""  # noqa: S608 - our own text

PARAMS: Final[dict[str, Any]] = {
    "now": "2026-01-05T10:00:00.000Z",
    "tomorrow": "2026-01-06T10:00:00.000Z",
    "served": "",
    "limit": 20,
    "before": 2**62,
    "max_bytes": 2**62,
    "statuses": '["failed", "running", "submitting"]',
    "id": f"task-{TASKS}",
    "owner": "nobody",
    "skip": "[]",
    "after": 0,
    "lease_s": 30.0,
    "node": "n",
}
STATEMENTS: Final = {
    "due": queue_queries.DUE_TASKS,
    "longest waiting": queue_queries.LONGEST_WAITING,
    "next due": queue_queries.NEXT_DUE,
    "position": queue_queries.QUEUE_POSITION.all,
    "position, own": queue_queries.QUEUE_POSITION.own,
    "queued": queue_queries.COUNT_QUEUED,
    "queued, own": queue_queries.COUNT_QUEUED_OF_OWNER,
    "list": list_queries.LIST_TASKS.all,
    "list, own": list_queries.LIST_TASKS.own,
    "page": list_queries.PAGE_OF_TASKS.all,
    "page, own": list_queries.PAGE_OF_TASKS.own,
    "page with status": list_queries.PAGE_WITH_STATUS.all,
    "page with status, own": list_queries.PAGE_WITH_STATUS.own,
    "task": queries.GET_TASK.all,
    "task, own": queries.GET_TASK.own,
    "events": queries.LIST_EVENTS.own,
    "unfinished": queries.UNFINISHED_TASKS,
    "taking over": lease_queries.TAKE_OVER,
}


@pytest.fixture(scope="module")
def filled(postgres_databases: Any) -> Any:
    """The URL of a database to fill once."""
    url = postgres_databases.create()
    yield url
    postgres_databases.drop(url)


@pytest.fixture
async def connection(filled: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the database with many tasks, of which PostgreSQL has no statistics."""
    await (await PostgresDatabase.open(filled, SCHEMA)).close()
    opened = await asyncpg.connect(filled)
    await set_codecs(opened)
    if not await opened.fetchval("SELECT count(*) FROM tasks"):
        await opened.execute(FILL)
    yield opened
    await opened.close()


async def blocks(connection: asyncpg.Connection[asyncpg.Record], statement: str) -> int:
    """How many blocks a statement reads."""
    step = Dialect().write(statement)[-1]
    ((plan,),) = await connection.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {step.sql}", *step.arguments(PARAMS)
    )
    top = json.loads(plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])


@pytest.mark.parametrize("statistics", ["none", "analyzed"])
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_a_question_reads_few_blocks(
    connection: asyncpg.Connection[asyncpg.Record], statistics: str, plan: str
) -> None:
    """With and without statistics, and with the values known or not."""
    if statistics == "analyzed":
        await connection.execute("ANALYZE tasks")
    await connection.execute(f"SET plan_cache_mode = {plan}; SET jit = off")

    read = {name: await blocks(connection, text) for name, text in STATEMENTS.items()}

    pages = await connection.fetchval("SELECT relpages FROM pg_class WHERE relname = 'tasks'")
    assert {name: number for name, number in read.items() if number > MAX_BLOCKS} == {}
    assert statistics == "none" or pages > 2 * MAX_BLOCKS


def test_the_slow_ones_are_known() -> None:
    """Statements that do read everything have more time; none that a client waits for is one."""
    assert SLOW.isdisjoint(STATEMENTS.values())
