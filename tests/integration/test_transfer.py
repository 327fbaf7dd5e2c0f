"""Tasks as JSON lines: out of one store, into another, all or none."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.tasks.database_file import lock_file
from phoenix_compat.tasks.errors import StoreInUseError, StoreVersionError
from phoenix_compat.tasks.transfer import Imported, TransferError, exported, import_lines
from tests.integration.commands import run
from tests.integration.kept import a_data_dir
from tests.integration.workshop import SCHEMA

TASKS = (
    "SELECT id, status, progress, input, prediction_id, result_data, files FROM tasks ORDER BY id"
)
EVENTS = "SELECT * FROM events ORDER BY task_id, seq"
PREDICTIONS = "SELECT * FROM predictions ORDER BY id"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The database of a server with a task in every state."""
    return a_data_dir(tmp_path / "home") / "tasks.sqlite3"


@pytest.fixture
def lines(home: Path) -> list[bytes]:
    """Its tasks as lines."""
    return list(exported(home, SCHEMA))


def taken(path: Path, lines: list[bytes], *, with_unfinished: bool = True) -> Imported:
    """Import the lines."""
    return import_lines(path, SCHEMA, lines, with_unfinished=with_unfinished)


def asked(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def changed(line: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The line with something changed."""
    document = json.loads(line)
    change(document)
    return json.dumps(document).encode()


def test_every_task_comes_over_with_its_history(
    home: Path, lines: list[bytes], tmp_path: Path
) -> None:
    """Columns, events and predictions are the same there; exporting there gives the same lines."""
    there = tmp_path / "there" / "tasks.sqlite3"

    done = taken(there, lines)

    assert done == Imported(added=6)
    for sql in (EVENTS, PREDICTIONS):
        assert asked(there, sql) == asked(home, sql)
    assert list(exported(there, SCHEMA)) == lines
    assert asked(there, "PRAGMA foreign_key_check") == []
    assert len(asked(there, TASKS)) == 6


def test_importing_twice_is_importing_once(lines: list[bytes], tmp_path: Path) -> None:
    """Tasks that are there already stay as they are, whatever the line says."""
    there = tmp_path / "tasks.sqlite3"
    taken(there, lines)
    before = asked(there, TASKS)
    other = [changed(line, lambda task: task.update(model="else/where")) for line in lines]

    assert taken(there, other) == Imported(known=6)

    assert asked(there, TASKS) == before


def test_unfinished_tasks_come_only_when_asked_for(lines: list[bytes], tmp_path: Path) -> None:
    """Two servers would work on them, and both be billed."""
    done = taken(tmp_path / "tasks.sqlite3", lines, with_unfinished=False)

    assert done == Imported(added=2, left_out=4)
    assert {row[1] for row in asked(tmp_path / "tasks.sqlite3", TASKS)} == {"completed", "failed"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda task: task.pop("model"), "missing required field `model`"),
        (lambda task: task.update(colour="red"), "unknown field `colour`"),
        (lambda task: task.update(status="lost"), r"Invalid enum value 'lost' - at `\$.status`"),
        (lambda task: task.update(progress=1.5), r"<= 1.0 - at `\$.progress`"),
        (lambda task: task.update(created_at="today"), r"at `\$.created_at`"),
        (lambda task: task.update(id="../x"), r"at `\$.id`"),
        (lambda task: task.pop("completed_at"), "completed_at: a task that is completed has one"),
        (lambda task: task["events"].pop(0), "events: seq must count"),
        (lambda task: task["predictions"].clear(), "predictions: the task's own"),
        (lambda task: task["files"][0].update(path="../../etc/passwd"), r"files\[0\].path"),
        (lambda task: task["files"][0].update(sha256="0" * 64), "path must be named by sha256"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_nothing_comes(
    lines: list[bytes], tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    """The error has the line's number and the field; the lines before it are not added either."""
    there = tmp_path / "tasks.sqlite3"
    wrong = [*lines[1:], changed(lines[0], change)]

    with pytest.raises(TransferError, match=rf"line 6: .*{told}") as refused:
        taken(there, wrong)

    assert str(refused.value).endswith("\nnothing was imported")
    assert asked(there, TASKS) == []


@pytest.mark.parametrize("levels", [100, 900, 5_000])
def test_a_line_that_nests_too_deep_is_named(
    lines: list[bytes], tmp_path: Path, levels: int
) -> None:
    """What is imported is read again by code that may recurse."""
    deep = changed(lines[0], lambda line: line["input"].update(mask="DEEP"))
    deep = deep.replace(b'"DEEP"', b"[" * levels + b"]" * levels)

    with pytest.raises(TransferError, match=r"line 1: .*more than 64 levels deep"):
        taken(tmp_path / "new.sqlite3", [deep])


def test_all_wrong_lines_are_named_up_to_a_limit(lines: list[bytes], tmp_path: Path) -> None:
    """No JSON, no UTF-8, a task twice, another task's prediction: each by its line."""
    stolen = changed(lines[0], lambda task: task.update(id="another"))
    wrong = [lines[0], b"{", b'"\xff"', lines[0], b"\n", stolen]

    with pytest.raises(TransferError) as refused:
        taken(tmp_path / "tasks.sqlite3", wrong)
    with pytest.raises(TransferError) as many:
        taken(tmp_path / "tasks.sqlite3", [b"{}"] * 100)

    named = [line.partition(":")[0] for line in str(refused.value).splitlines()]
    assert named == ["line 2", "line 3", "line 4", "line 6", "nothing was imported"]
    assert len(str(many.value).splitlines()) == 22


def test_an_import_refuses_to_run_beside_a_server(lines: list[bytes], home: Path) -> None:
    """Who holds the database is not disturbed."""
    with lock_file(home), pytest.raises(StoreInUseError, match="stop it first"):
        taken(home, lines)


def test_an_older_database_is_upgraded_before_an_export(home: Path) -> None:
    """Lines have one shape; the error says which command makes it."""
    with closing(sqlite3.connect(home)) as connection:
        connection.execute("PRAGMA user_version = 1")

    with pytest.raises(StoreVersionError, match="phoenix-compat upgrade"):
        list(exported(home, SCHEMA))


def test_the_commands_work_through_a_file(home: Path, tmp_path: Path) -> None:
    """`export` writes the file that `import` reads; an error leaves with exit code 2."""
    out, there = str(tmp_path / "tasks.jsonl"), str(tmp_path / "there")
    command = ("-m", "phoenix_compat")

    written = asyncio.run(run(*command, "export", "--data-dir", str(home.parent), out))
    read = asyncio.run(run(*command, "import", "--data-dir", there, "--with-unfinished", out))
    wrong = asyncio.run(run(*command, "import", "--data-dir", there, __file__))

    assert (written.code, written.err) == (0, "6 tasks exported\n")
    assert (read.code, read.out) == (0, "6 tasks added, 0 were here already\n")
    assert wrong.code == 2
    assert "line 1: " in wrong.err
