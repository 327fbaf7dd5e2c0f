"""The owners of tasks in exports, imports and backups."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.transfer.task_lines import (
    ImportResult,
    TransferError,
    export_lines,
    import_lines,
)
from tests.integration.operations.commands import run
from tests.integration.store.stored_tasks import make_data_dir
from tests.integration.store.unreadable_harness import put
from tests.integration.worker.worker_harness import SCHEMA


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The database of a server whose six tasks belong to two owners and to nobody."""
    path = make_data_dir(tmp_path / "home") / "tasks.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tasks SET owner = 'ada' WHERE number IN (1, 2)")
        connection.execute("UPDATE tasks SET owner = 'key:bob' WHERE number IN (3, 4)")
        connection.execute("UPDATE tasks SET reserved_microdollars = 5, reserved_on = '2026-01-05'")
    return path


def owners(path: Path) -> list[tuple[object, ...]]:
    """The owner and reservation of each task."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT owner, reserved_microdollars, reserved_on FROM tasks ORDER BY number"
        ).fetchall()


def test_owners_are_exported_and_imported(home: Path, tmp_path: Path) -> None:
    """The owner is in the line; what was reserved for a task is not, for it is this server's."""
    there = tmp_path / "there.sqlite3"

    lines = list(export_lines(home, SCHEMA, pytest.fail))
    done = import_lines(there, SCHEMA, lines, with_unfinished=True)

    assert done == ImportResult(added=6)
    assert [json.loads(line).get("owner") for line in lines] == [
        "ada",
        "ada",
        "key:bob",
        "key:bob",
        None,
        None,
    ]
    assert owners(there) == [(row[0], 0, None) for row in owners(home)]
    assert not any("reserved" in json.loads(line) for line in lines)
    assert list(export_lines(there, SCHEMA, pytest.fail)) == lines


def test_a_line_without_an_owner_belongs_to_nobody(home: Path, tmp_path: Path) -> None:
    """So exports of older versions can be imported."""
    lines = [json.loads(line) for line in export_lines(home, SCHEMA, pytest.fail)]
    for line in lines:
        line.pop("owner", None)
    there = tmp_path / "there.sqlite3"

    import_lines(there, SCHEMA, [json.dumps(line).encode() for line in lines], with_unfinished=True)

    assert {row[0] for row in owners(there)} == {""}


@pytest.mark.parametrize("owner", ["two\nlines", "\x00", "x" * 1_025, 5, None, ["ada"], "a\u2028"])
def test_an_invalid_owner_is_refused(home: Path, tmp_path: Path, owner: Any) -> None:
    """The error names the line and the field, and nothing is imported."""
    line = json.loads(next(export_lines(home, SCHEMA)))
    line["owner"] = owner
    there = tmp_path / "there.sqlite3"

    with pytest.raises(TransferError, match=r"line 1: .*owner"):
        import_lines(there, SCHEMA, [json.dumps(line).encode()], with_unfinished=True)

    assert owners(there) == []


def test_a_task_whose_owner_cannot_be_read_is_not_exported(home: Path) -> None:
    """An import could give it to somebody else; the export names the column."""
    put(home, "tasks", "owner", b"ada", 1)
    skipped: list[str] = []

    lines = list(export_lines(home, SCHEMA, skipped.append))

    assert len(lines) == 5
    (text,) = skipped
    assert text.endswith("owner: expected a text of at most 1024 characters on one line")


def test_a_backup_keeps_owners(home: Path, tmp_path: Path) -> None:
    """After a restore each owner finds its tasks, and only those."""
    command = ("-m", "phoenix_compat")
    out, there = str(tmp_path / "backup.tar"), tmp_path / "restored"

    made = asyncio.run(run(*command, "backup", "--data-dir", str(home.parent), out))
    restored = asyncio.run(run(*command, "restore", "--data-dir", str(there), out))

    assert (made.code, restored.code) == (0, 0), made.err + restored.err
    assert owners(there / "tasks.sqlite3") == owners(home)

    async def listed(owner: str) -> int:
        async with await open_task_store(there / "tasks.sqlite3", SCHEMA) as store:
            return len(await store.list(owner=owner))

    assert [asyncio.run(listed(owner)) for owner in ("ada", "key:bob", "", "eve")] == [2, 2, 2, 0]
