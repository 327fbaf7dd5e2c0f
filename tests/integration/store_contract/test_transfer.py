"""Tasks go as JSON lines into a store that servers use, and out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.tasks.model.inputs.file_inputs import StoredInput, upload_reference
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.database import Params
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.transfer.shared_lines import export_shared, import_shared
from phoenix_compat.tasks.store.transfer.task_lines import TransferError
from phoenix_compat.tasks.store.upload_store import UploadStore
from tests.integration.store.stored_tasks import moved
from tests.integration.store_contract.engines import execute
from tests.integration.worker.worker_harness import task_params

SHA256 = "a" * 64


@pytest.fixture
async def lines(store: TaskStore) -> list[bytes]:
    """Lines of three tasks, which are not in the store any more."""
    done = await moved(store, await store.add(task_params(prompt="é\u0000")), TaskStatus.SUBMITTING)
    running = await store.move(done, TaskStatus.RUNNING, prediction_id="p-1")
    assert running is not None
    await store.move(running, TaskStatus.COMPLETED, result_data={"text": "\u0000 \N{FOX FACE}"})
    await store.add(task_params(), owner="ada")
    await UploadStore(store).add("ada", SHA256, "image/png", 3)
    await store.add(task_params(image=upload_reference(SHA256)), owner="ada")
    found = [line async for line in export_shared(store.database)]
    await execute(store, "DELETE FROM tasks")
    await execute(store, "DELETE FROM uploads")
    return found


async def test_what_is_exported_can_be_imported(store: TaskStore, lines: list[bytes]) -> None:
    """Nothing of a task changes on the way, and a repeated import changes nothing."""
    done = await import_shared(store.database, lambda: lines, with_unfinished=True)
    again = await import_shared(store.database, lambda: lines, with_unfinished=True)

    assert len(lines) == 3
    assert (done.added, done.known) == (3, 0)
    assert (again.added, again.known) == (0, 3)
    assert [line async for line in export_shared(store.database)] == lines
    assert (await store.list())[-1].result_data == {"text": "\u0000 \N{FOX FACE}"}
    assert await store.by_prediction("p-1") is not None


async def test_unfinished_tasks_are_left_out(store: TaskStore, lines: list[bytes]) -> None:
    """Servers would run them."""
    done = await import_shared(store.database, lambda: lines, with_unfinished=False)

    assert (done.added, done.left_out) == (1, 2)
    assert [task.status for task in await store.list()] == [TaskStatus.COMPLETED]


async def test_files_of_clients_are_registered(
    store: TaskStore, lines: list[bytes], tmp_path: Path
) -> None:
    """Those that are stored here; the others are counted, and found by a repeated import."""
    stored = StoredInput(path=tmp_path / "x.png", content_type="image/png", size_bytes=3)

    without = await import_shared(
        store.database, lambda: lines, with_unfinished=True, find_file=lambda _sha256: None
    )
    found = await import_shared(
        store.database, lambda: lines, with_unfinished=True, find_file=lambda _sha256: stored
    )

    assert (without.without_files, found.without_files) == (1, 0)
    assert await store.shared_hashes({SHA256}, []) == {SHA256}


async def test_an_invalid_line_imports_nothing(store: TaskStore, lines: list[bytes]) -> None:
    """All lines are checked first."""
    with pytest.raises(TransferError, match=r"line 4: .*\nline 5: .* twice\nnothing was imported"):
        await import_shared(store.database, lambda: [*lines, b"{}", lines[0]], with_unfinished=True)

    assert await store.list() == []


async def test_a_conflict_names_its_line(store: TaskStore, lines: list[bytes]) -> None:
    """The prediction of another task cannot be imported."""
    other = await moved(store, await store.add(task_params()), TaskStatus.SUBMITTING)
    await store.move(other, TaskStatus.RUNNING, prediction_id="p-1")

    with pytest.raises(TransferError, match="line 1: conflicts with another task"):
        await import_shared(store.database, lambda: lines, with_unfinished=True)

    assert len(await store.list()) == 1


async def test_a_task_that_moves_meanwhile_is_read_again(
    store: TaskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its history fits to its state."""
    await store.add(task_params())
    database = store.database
    read = database.read
    reads = 0

    async def read_and_move(sql: str, params: Params = ()) -> object:
        nonlocal reads
        rows = await read(sql, params)
        reads += 1
        if reads == 1:
            (task,) = await store.list()
            await store.move(task, TaskStatus.SUBMITTING, attempts=1)
        return rows

    monkeypatch.setattr(database, "read", read_and_move)

    (line,) = [line async for line in export_shared(database)]

    assert b'"status":"submitting"' in line
