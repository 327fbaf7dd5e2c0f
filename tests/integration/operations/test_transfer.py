"""Export and import of tasks as JSON lines: all or none."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from phoenix_compat.tasks.model.errors import StoreInUseError, StoreVersionError
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.sqlite.database_file import lock_file
from phoenix_compat.tasks.store.transfer.task_lines import (
    ImportResult,
    TransferError,
    export_lines,
    import_lines,
)
from tests.integration.operations.commands import run
from tests.integration.store.stored_tasks import make_data_dir
from tests.integration.store.unreadable_harness import SECRET, put
from tests.integration.worker.worker_harness import SCHEMA, task_params

TASKS = (
    "SELECT id, status, progress, input, prediction_id, result_data, files FROM tasks ORDER BY id"
)
EVENTS = "SELECT * FROM events ORDER BY task_id, seq"
PREDICTIONS = "SELECT * FROM predictions ORDER BY id"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The database of a server with a task in every state."""
    return make_data_dir(tmp_path / "home") / "tasks.sqlite3"


@pytest.fixture
def lines(home: Path) -> list[bytes]:
    """Its tasks as lines."""
    return list(export_lines(home, SCHEMA))


def import_into(path: Path, lines: list[bytes], *, with_unfinished: bool = True) -> ImportResult:
    """Import the lines."""
    return import_lines(path, SCHEMA, lines, with_unfinished=with_unfinished)


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def changed(line: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The line with something changed."""
    document = json.loads(line)
    change(document)
    return json.dumps(document).encode()


def test_every_task_is_imported_with_its_history(
    home: Path, lines: list[bytes], tmp_path: Path
) -> None:
    """Columns, events and predictions are the same, and a new export gives the same lines."""
    there = tmp_path / "there" / "tasks.sqlite3"

    done = import_into(there, lines)

    assert done == ImportResult(added=6)
    for sql in (EVENTS, PREDICTIONS):
        assert query(there, sql) == query(home, sql)
    assert list(export_lines(there, SCHEMA)) == lines
    assert query(there, "PRAGMA foreign_key_check") == []
    assert len(query(there, TASKS)) == 6


def test_a_second_import_changes_nothing(lines: list[bytes], tmp_path: Path) -> None:
    """Tasks that exist already are not changed, whatever the line says."""
    there = tmp_path / "tasks.sqlite3"
    import_into(there, lines)
    before = query(there, TASKS)
    other = [changed(line, lambda task: task.update(model="else/where")) for line in lines]

    assert import_into(there, other) == ImportResult(known=6)

    assert query(there, TASKS) == before


def test_unfinished_tasks_are_imported_only_on_request(lines: list[bytes], tmp_path: Path) -> None:
    """Otherwise two servers would work on them, and both would pay."""
    done = import_into(tmp_path / "tasks.sqlite3", lines, with_unfinished=False)

    assert done == ImportResult(added=2, left_out=4)
    assert {row[1] for row in query(tmp_path / "tasks.sqlite3", TASKS)} == {"completed", "failed"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda task: task.pop("model"), "missing required field `model`"),
        (lambda task: task.update(colour="red"), "unknown field `colour`"),
        (lambda task: task.update(status="lost"), r"Invalid enum value 'lost' - at `\$.status`"),
        (lambda task: task.update(progress=1.5), r"<= 1.0 - at `\$.progress`"),
        (lambda task: task.update(created_at="today"), r"at `\$.created_at`"),
        (lambda task: task.update(id="../x"), r"at `\$.id`"),
        (
            lambda task: task.pop("completed_at"),
            "completed_at: a task that is completed must have one",
        ),
        (lambda task: task["events"].pop(0), "events: seq must count"),
        (lambda task: task["predictions"].clear(), "predictions: the task's own"),
        (lambda task: task["files"][0].update(path="../../etc/passwd"), r"files\[0\].path"),
        (lambda task: task["files"][0].update(sha256="0" * 64), "path must contain the sha256"),
    ],
)
def test_an_invalid_line_is_named_and_nothing_is_imported(
    lines: list[bytes], tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    """The error has the line number and the field; the lines before it are not imported either."""
    there = tmp_path / "tasks.sqlite3"
    wrong = [*lines[1:], changed(lines[0], change)]

    with pytest.raises(TransferError, match=rf"line 6: .*{reason}") as refused:
        import_into(there, wrong)

    assert str(refused.value).endswith("\nnothing was imported")
    assert query(there, TASKS) == []


@pytest.mark.parametrize("levels", [600, 900, 5_000])
def test_a_line_that_is_nested_too_deep_is_named(
    lines: list[bytes], tmp_path: Path, levels: int
) -> None:
    """Imported values are read by code that may recurse."""
    deep = changed(lines[0], lambda line: line["input"].update(mask="DEEP"))
    deep = deep.replace(b'"DEEP"', b"[" * levels + b"]" * levels)

    with pytest.raises(TransferError, match=r"line 1: .*nested"):
        import_into(tmp_path / "new.sqlite3", [deep])


def test_all_invalid_lines_are_named_up_to_a_limit(lines: list[bytes], tmp_path: Path) -> None:
    """Invalid JSON, invalid UTF-8, a repeated task, another task's prediction: each by its line."""
    stolen = changed(lines[0], lambda task: task.update(id="another"))
    wrong = [lines[0], b"{", b'"\xff"', lines[0], b"\n", stolen]

    with pytest.raises(TransferError) as refused:
        import_into(tmp_path / "tasks.sqlite3", wrong)
    with pytest.raises(TransferError) as many:
        import_into(tmp_path / "tasks.sqlite3", [b"{}"] * 100)

    named = [line.partition(":")[0] for line in str(refused.value).splitlines()]
    assert named == ["line 2", "line 3", "line 4", "line 6", "nothing was imported"]
    assert len(str(many.value).splitlines()) == 22


def test_an_import_refuses_while_a_server_runs(lines: list[bytes], home: Path) -> None:
    """A locked database is not changed."""
    with lock_file(home), pytest.raises(StoreInUseError, match="stop it first"):
        import_into(home, lines)


def test_an_older_database_must_be_upgraded_before_an_export(home: Path) -> None:
    """Lines have one format; the error names the command that upgrades."""
    with closing(sqlite3.connect(home)) as connection:
        connection.execute("PRAGMA user_version = 1")

    with pytest.raises(StoreVersionError, match="phoenix-compat upgrade"):
        list(export_lines(home, SCHEMA))


def test_the_commands_work_through_a_file(home: Path, tmp_path: Path) -> None:
    """`export` writes the file that `import` reads; an error leads to exit code 2."""
    out, there = str(tmp_path / "tasks.jsonl"), str(tmp_path / "there")
    command = ("-m", "phoenix_compat")

    written = asyncio.run(run(*command, "export", "--data-dir", str(home.parent), out))
    read = asyncio.run(run(*command, "import", "--data-dir", there, "--with-unfinished", out))
    wrong = asyncio.run(run(*command, "import", "--data-dir", there, __file__))

    assert (written.code, written.err) == (0, "6 tasks exported\n")
    assert (read.code, read.out) == (0, "6 tasks added, 0 existed already\n")
    assert wrong.code == 2
    assert "line 1: " in wrong.err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda task: task.update(created_at="2026-99-99T99:99:99.999Z"), "created_at: expected a"),
        (lambda task: task.update(not_before="2026-02-30T10:00:00.000Z"), "not_before: expected"),
        (lambda task: task.update(updated_at="2026-01-05T10:00:00.000Z\n"), r"at `\$.updated_at`"),
        (lambda task: task.update(started_at="0000-01-05T10:00:00.000Z"), "started_at: expected"),
        (lambda task: task.update(id="x\n"), r"at `\$.id`"),
        (lambda task: task.update(type="two\nlines"), "type: expected a text"),
        (lambda task: task.update(model="imagen"), "model: expected a model, such as"),
        (lambda task: task.update(provider_model="a/b\x00"), "provider_model: expected"),
        (lambda task: task.update(fingerprint="0" * 64 + "\n"), r"at `\$.fingerprint`"),
        (lambda task: task.update(input=nested(600)), "input: expected a JSON object, nested"),
        (lambda task: task.update(input=nested(900)), "input: expected|too deep"),
        (lambda task: task.update(deadline_s=1e300), "deadline_s: expected a number of seconds"),
        (lambda task: task.update(estimated_cost_usd=1e300), "estimated_cost_usd: expected"),
        (lambda task: task["events"][1].update(at="2026-13-01T00:00:00.000Z"), r"events\[1\].at: "),
        (lambda task: task["events"][0].update(event="begun"), r"events\[0\].event: expected"),
        (
            lambda task: task["events"][0].update(event="failed"),
            r"events\[0\].event: must be the same",
        ),
        (lambda task: task["events"].pop(), "events: the last one must be completed"),
        (
            lambda task: task["predictions"][0].update(created_at="2026-00-01T00:00:00.000Z"),
            r"predictions\[0\].created_at: expected a time",
        ),
        (
            lambda task: task["predictions"].append(task["predictions"][0]),
            r"predictions\[1\].id: is listed twice",
        ),
    ],
)
def test_every_value_is_checked(
    lines: list[bytes], tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    """F1: a value that could not be read later is refused; line, field and format are named."""
    there = tmp_path / "tasks.sqlite3"

    with pytest.raises(TransferError, match=rf"line 1: .*({reason})"):
        import_into(there, [changed(lines[0], change)])

    assert query(there, TASKS) == []


def nested(depth: int) -> dict[str, Any]:
    """Objects within each other."""
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"a": document}
    return document


def readable(path: Path) -> bool:
    """Whether every task and event of a database can be read."""

    async def read() -> bool:
        async with await open_task_store(path, SCHEMA) as store:
            tasks = await store.list(limit=100)
            events = [event for task in tasks for event in await store.events(task.id)]
            unreadable = [one.id for one in tasks if one.unreadable]
            return not unreadable and not any(event.unreadable for event in events)

    return asyncio.run(read())


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\n?", fullmatch=True)
    | st.sampled_from(["", "\x00", "queued", "lost", "a/b", "ab/cd/x", [], {}, [[]], {"a": [1]}])
)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_line_makes_a_row_that_cannot_be_read(data: st.DataObject) -> None:
    """Whatever one field of a line is changed to, the line is refused, or its row can be read."""
    line = json.loads(data.draw(st.sampled_from(_lines())))
    place = data.draw(st.sampled_from(["task", "events", "predictions", "files"]))
    target = line
    if place != "task":
        assume(line.get(place))
        target = data.draw(st.sampled_from(line[place]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(_SCALARS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.sqlite3"
        try:
            import_into(path, [json.dumps(line).encode()])
        except TransferError:
            assert query(path, TASKS) == []
        else:
            assert readable(path)
            assert len(list(export_lines(path, SCHEMA, pytest.fail))) == 1


@functools.cache
def _lines() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return list(export_lines(make_data_dir(Path(folder) / "home") / "tasks.sqlite3", SCHEMA))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.text(st.characters(codec="utf-8")), _JSON, max_size=4)
_TIMES = st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given the zone beside


@given(
    input_data=_OBJECTS,
    result=_OBJECTS,
    not_before=_TIMES,
    deadline_s=st.none() | st.floats(0.1, 86_400.0),
    steps=st.integers(0, 3),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_exports_can_be_imported(
    input_data: dict[str, Any],
    result: dict[str, Any],
    not_before: datetime,
    deadline_s: float | None,
    steps: int,
) -> None:
    """Whatever the values and the state of a task, it is neither left out nor refused."""
    params = dataclasses.replace(task_params(), input_data=input_data, deadline_s=deadline_s)

    async def fill(path: Path) -> None:
        async with await open_task_store(path, SCHEMA) as store:
            task: Task | None = await store.add(params)
            for to in (TaskStatus.SUBMITTING, TaskStatus.RUNNING, TaskStatus.COMPLETED)[:steps]:
                is_end = to is TaskStatus.COMPLETED
                assert task is not None
                task = await store.move(
                    task,
                    to,
                    prediction_id=None if to is TaskStatus.SUBMITTING else "p-1",
                    not_before=None if is_end else not_before,
                    result_data=result if is_end else None,
                )

    with tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder) / "here", Path(folder) / "there"
        asyncio.run(fill(here))
        lines = list(export_lines(here, SCHEMA, pytest.fail))
        assert import_into(there, lines) == ImportResult(added=1)
        assert list(export_lines(there, SCHEMA, pytest.fail)) == lines


def test_a_task_that_cannot_be_read_is_left_out_and_named(home: Path, tmp_path: Path) -> None:
    """The others are exported; the output names the missing tasks and columns, but no values."""
    (first, _), (second, _), *_ = query(home, "SELECT id, number FROM tasks ORDER BY number")
    put(home, "tasks", "input", "{" + SECRET, 1)
    put(home, "events", "at", "2026-99-99", second)
    put(home, "tasks", "id", b"\xff", 6)
    out = tmp_path / "tasks.jsonl"

    written = asyncio.run(
        run("-m", "phoenix_compat", "export", "--data-dir", str(home.parent), str(out))
    )

    assert written.code == 1
    assert len(out.read_bytes().splitlines()) == 3
    assert f"left out: task {first}: input: expected a JSON object" in written.err
    assert f"left out: task {second}: events.1.at: expected a time" in written.err
    assert "left out: task number 6: id: expected" in written.err
    assert written.err.endswith("3 tasks exported\n3 tasks left out, because they cannot be read\n")
    assert SECRET not in written.err
    assert import_into(tmp_path / "there", out.read_bytes().splitlines()) == ImportResult(added=3)
