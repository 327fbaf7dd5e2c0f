"""Adds the rows of a line: the task with its history, and the files of clients that it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from phoenix_compat.tasks.model.inputs.file_inputs import StoredInput, used_uploads
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.statements import upload_queries
from phoenix_compat.tasks.store.transfer.transfer_line import Line, event_values, task_values
from phoenix_compat.tasks.store.transfer.transfer_statements import (
    ADD_EVENT,
    ADD_PREDICTION,
    ADD_TASK,
)

FindFile: TypeAlias = Callable[[str], StoredInput | None]
"""Finds the stored file of a hash."""


class StoredFiles(NamedTuple):
    """Which files of a task are stored here.

    Attributes:
        of_clients: those that clients sent, by their hashes.
        are_all: whether none is missing, also none of the task's results.
    """

    of_clients: Mapping[str, StoredInput]
    are_all: bool


def stored_files(line: Line, find_file: FindFile) -> StoredFiles:
    """Find the files of a task. Blocking."""
    are_all = all(find_file(file.sha256) is not None for file in line.files)
    found: dict[str, StoredInput] = {}
    for upload in used_uploads(line.input):
        stored = find_file(upload.sha256)
        if stored is None:
            are_all = False
        else:
            found[upload.sha256] = stored
    return StoredFiles(found, are_all)


async def add_line(transaction: Transaction, line: Line) -> None:
    """Add a task with its history. Raises as `Transaction.execute`."""
    await transaction.execute(ADD_TASK, task_values(line))
    for prediction in line.predictions:
        values = (prediction.id, line.id, prediction.created_at)
        await transaction.execute(ADD_PREDICTION, values)
    for event in line.events:
        await transaction.execute(ADD_EVENT, {"task_id": line.id, **event_values(event)})


async def add_files(transaction: Transaction, line: Line, files: StoredFiles) -> None:
    """Record which files of clients a task uses."""
    for sha256, stored in files.of_clients.items():
        values = {
            "owner": line.owner,
            "sha256": sha256,
            "content_type": stored.content_type,
            "size_bytes": stored.size_bytes,
            "now": line.created_at,
            "task_id": line.id,
        }
        await transaction.execute(upload_queries.IMPORT_UPLOAD, values)
        await transaction.execute(upload_queries.ADD_TASK_INPUT, values)
