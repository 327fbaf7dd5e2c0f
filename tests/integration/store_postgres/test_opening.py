"""A database is opened, created, or refused with a text that says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.tasks.model.errors import StoreOpenError, StoreVersionError
from phoenix_compat.tasks.store.opening import open_shared_task_store
from phoenix_compat.tasks.store.postgres.migrations import STEPS, version_of
from tests.integration.store_contract.engines import POSTGRES_SCHEMA as SCHEMA
from tests.integration.worker.worker_harness import task_params
from tests.services.postgres import PASSWORD
from tests.services.programs import free_port

NEXT = SCHEMA.replace(f"VALUES ({version_of(SCHEMA)})", f"VALUES ({version_of(SCHEMA) + 1})")


@pytest.fixture
async def administrator(postgres_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection past the store."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def test_servers_that_start_together_make_the_tables_once(postgres_url: str) -> None:
    """Each waits for the one that has begun, and all use the same database."""
    stores = await asyncio.gather(*(open_shared_task_store(postgres_url, SCHEMA) for _ in range(4)))
    try:
        added = await stores[0].add(task_params())
        assert [await store.get(added.id) for store in stores] == [added] * 4
    finally:
        await asyncio.gather(*(store.close() for store in stores))


async def test_a_server_that_is_older_than_the_schema_does_not_start(postgres_url: str) -> None:
    """One that runs goes on, and the newer one finds its tasks."""
    step = "ALTER TABLE tasks ADD COLUMN future text NOT NULL DEFAULT 'x'"
    async with await open_shared_task_store(postgres_url, SCHEMA) as old:
        before = await old.add(task_params())
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(STEPS, version_of(SCHEMA), step)
            async with await open_shared_task_store(postgres_url, NEXT) as new:
                assert await new.get(before.id) == before
        after = await old.add(task_params())
        assert await old.get(after.id) == after

    with pytest.raises(StoreVersionError, match=r"newer than the \d+ this program knows; start"):
        await open_shared_task_store(postgres_url, SCHEMA)


async def test_a_step_that_fails_changes_nothing(postgres_url: str) -> None:
    """The schema keeps its version, so that the old program can be used again."""
    step = "ALTER TABLE tasks ADD COLUMN future text; SELECT no_such_function()"
    await (await open_shared_task_store(postgres_url, SCHEMA)).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STEPS, version_of(SCHEMA), step)
        with pytest.raises(StoreOpenError, match="its schema cannot be changed: undefined funct"):
            await open_shared_task_store(postgres_url, NEXT)

    await (await open_shared_task_store(postgres_url, SCHEMA)).close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ((PASSWORD, "guessed"), "invalid password"),
        (("/test_", "/missing_"), "invalid catalog name"),
        (("postgres:", "nobody:"), "invalid password"),
    ],
)
async def test_a_login_that_is_refused_names_no_secret(
    postgres_url: str, change: tuple[str, str], text: str
) -> None:
    """The error says what PostgreSQL said, and where it was asked."""
    url = postgres_url.replace(*change)

    with pytest.raises(StoreOpenError, match=text) as caught:
        await open_shared_task_store(url, SCHEMA)

    assert "127.0.0.1" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert "guessed" not in str(caught.value)


async def test_a_server_that_is_not_there_is_an_error_at_once() -> None:
    """Nothing listens on the port."""
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/tasks"

    with pytest.raises(StoreOpenError, match="check database_url"):
        await open_shared_task_store(url, SCHEMA)


@pytest.mark.parametrize(
    "url", ["", "tasks.db", "mysql://host/tasks", "postgresql://host", "postgresql://h:port/tasks"]
)
async def test_another_address_is_a_mistake_in_the_settings(url: str) -> None:
    """The text has an example, and not the address, which may have a password."""
    with pytest.raises(ConfigError, match="must be like postgresql://user"):
        await open_shared_task_store(url, SCHEMA)


async def test_the_tables_of_another_program_are_left_alone(
    postgres_url: str, administrator: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A database that has a table `tasks` of its own is refused."""
    await administrator.execute("CREATE TABLE tasks (title text)")

    with pytest.raises(StoreVersionError, match="use a database of its own"):
        await open_shared_task_store(postgres_url, SCHEMA)


async def test_a_user_who_may_not_create_tables_is_told_so(
    postgres_url: str, administrator: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Since PostgreSQL 15 only the owner of a database may create tables in it."""
    await administrator.execute(f"CREATE ROLE visitor LOGIN PASSWORD '{PASSWORD}'")
    try:
        with pytest.raises(StoreOpenError, match="GRANT CREATE ON SCHEMA public"):
            await open_shared_task_store(postgres_url.replace("postgres:", "visitor:"), SCHEMA)
    finally:
        await administrator.execute("DROP ROLE visitor")
