"""PostgreSQL understands every statement, and has the tables of SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from phoenix_compat.tasks.store.postgres.dialect import LOCKING, TEXTS, Dialect
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store_postgres.statements import all_statements
from tests.integration.worker.worker_harness import SCHEMA as SQLITE_SCHEMA

_KINDS = {
    "INTEGER": {"bigint", "integer", "smallint"},
    "REAL": {"double precision"},
    "TEXT": {"text", "json", "timestamp with time zone"},
}
_ONLY_HERE = {"schema_version"}


async def test_every_statement_can_be_prepared(store: TaskStore, postgres_url: str) -> None:
    """PREPARE succeeds for each, as it runs alone and as it runs in a transaction."""
    del store  # it has made the tables
    statements, refused = dict(all_statements()), {}
    dialect = Dialect()
    connection = await asyncpg.connect(postgres_url)
    try:
        for name, text in statements.items():
            for step in (*dialect.read(text), *dialect.write(text)):
                try:
                    await connection.prepare(step.sql)
                except asyncpg.PostgresError as error:
                    refused[name] = f"{error}\n{step.sql}"
    finally:
        await connection.close()

    assert refused == {}
    assert len(statements) > 90
    texts = set(statements.values())
    assert set(TEXTS) <= texts
    assert set(LOCKING) <= texts


async def test_both_schemas_have_the_same_columns(
    store: TaskStore, sql: Callable[..., Awaitable[Any]]
) -> None:
    """Tables, columns in their order, what may be NULL, and the kinds of values are the same."""
    del store
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SQLITE_SCHEMA)
        expected = [
            (table, *column)
            for (table,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
            for column in connection.execute(
                'SELECT name, type, "notnull" OR pk > 0 FROM pragma_table_info(?) ORDER BY cid',
                (table,),
            )
        ]
    found = await sql(
        "SELECT table_name, column_name, data_type, is_nullable = 'NO' FROM"
        " information_schema.columns WHERE table_schema = 'public' ORDER BY ordinal_position"
    )

    tables = {name for name, *_ in found} - _ONLY_HERE
    assert tables == {name for name, *_ in expected}
    for table in sorted(tables):
        here = [tuple(column) for name, *column in found if name == table]
        there = [tuple(column) for name, *column in expected if name == table]
        assert [name for name, *_ in here] == [name for name, *_ in there]
        assert [bool(is_required) for *_, is_required in here] == [
            bool(is_required) for *_, is_required in there
        ]
        for (name, kind, _), (_, sqlite_kind, _) in zip(here, there, strict=True):
            assert kind in _KINDS[sqlite_kind], (table, name)


async def test_both_schemas_have_the_same_indexes(
    store: TaskStore, sql: Callable[..., Awaitable[Any]]
) -> None:
    """Every index of SQLite is there under its name."""
    del store
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SQLITE_SCHEMA)
        expected = {
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
            )
        }
    found = await sql("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")

    assert expected <= {name for (name,) in found}


async def test_texts_sort_by_their_bytes_whatever_the_locale(
    store: TaskStore, sql: Callable[..., Awaitable[Any]]
) -> None:
    """Whatever is in an index has the collation "C", or the turns of owners would differ."""
    del store
    found = await sql("""
SELECT attribute.attrelid::regclass::text, attname FROM pg_attribute AS attribute
JOIN pg_class AS index ON index.oid = attrelid AND index.relkind = 'i'
JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = 'public'
WHERE attcollation NOT IN (0, 'pg_catalog."C"'::regcollation)
""")

    assert found == []
