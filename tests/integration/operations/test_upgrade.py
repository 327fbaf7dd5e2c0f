"""`upgrade`: a database of version 1 is upgraded in place; a newer one is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.operations.commands import run
from tests.integration.store.stored_tasks import SCHEMA_VERSION

COMMAND = ("-m", "phoenix_compat", "upgrade", "--data-dir")
VERSION_1 = Path(__file__).parents[1].joinpath("store", "version_1.sql").read_text(encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with a database of version 1."""
    with closing(sqlite3.connect(tmp_path / "tasks.sqlite3")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1)
    return tmp_path


def query(home: Path, sql: str) -> object:
    with closing(sqlite3.connect(home / "tasks.sqlite3")) as connection:
        return connection.execute(sql).fetchone()[0]


async def test_an_older_database_is_upgraded_in_place(home: Path) -> None:
    """The plan changes nothing; the upgrade keeps all tasks and a copy; a second does nothing."""
    plan = await run(*COMMAND, str(home), "--plan")
    planned = query(home, "PRAGMA user_version")
    done = await run(*COMMAND, str(home))
    again = await run(*COMMAND, str(home))

    copy = home / "tasks.sqlite3.v1.bak"
    assert (plan.code, done.code, again.code) == (0, 0, 0), plan.err + done.err + again.err
    assert f"has schema version 1; this program's is {SCHEMA_VERSION}" in plan.out
    assert f"1. copy it to {copy}" in plan.out
    assert "2. upgrade it from version 1 to 2" in plan.out
    assert "3. upgrade it from version 2 to 3" in plan.out
    assert "4. upgrade it from version 3 to 4" in plan.out
    assert f"upgrade it from version {SCHEMA_VERSION - 1} to {SCHEMA_VERSION}" in plan.out
    assert planned == 1
    assert query(home, "PRAGMA user_version") == SCHEMA_VERSION
    assert query(home, "PRAGMA integrity_check") == "ok"
    assert query(home, "SELECT count(*) FROM tasks") == 6
    assert done.out.endswith(f"done; the copy of the old database is {copy}\n")
    assert again.out.endswith("nothing to do\n")


async def test_a_downgrade_is_refused(home: Path) -> None:
    """A newer database is not changed, and the error says what to do."""
    query(home, "PRAGMA user_version")
    with closing(sqlite3.connect(home / "tasks.sqlite3")) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    for arguments in ((), ("--plan",)):
        refused = await run(*COMMAND, str(home), *arguments)

        assert refused.code == 2
        assert f"newer than the {SCHEMA_VERSION} this program knows" in refused.err
        assert "restore the copy or backup that was made before the upgrade" in refused.err
        assert "Traceback" not in refused.err
    assert query(home, "PRAGMA user_version") == SCHEMA_VERSION + 1
