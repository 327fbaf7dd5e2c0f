"""Tasks as JSON lines, from one store to another: one task a line, with its history.

    {"format": "phoenix_compat.task.1", "id": …, every column but `number` …,
     "events": [{"seq": 1, …}], "predictions": [{"id": …, "created_at": …}]}

Columns that hold JSON text are JSON here. Idempotency keys stay behind: they live for a day.
Kept files are named and not included; a backup has them. Blocking.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from phoenix_compat.bounded import TOO_DEEP, is_too_deep
from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.database_file import check_file, lock_file, version_advice, version_of
from phoenix_compat.tasks.errors import StoreInUseError, StoreVersionError
from phoenix_compat.tasks.snapshot import opened_for_reading
from phoenix_compat.tasks.task import TaskStatus

FORMAT: Final = "phoenix_compat.task.1"
MAX_LINE_BYTES: Final = 16 * 2**20
MAX_PROBLEMS: Final = 20

_Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
_Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Count = Annotated[int, Meta(ge=0, le=2**31)]
_Share = Annotated[float, Meta(ge=0.0, le=1.0)]
_Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
_FilePath = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]{1,5}$")]
_ThumbnailPath = Annotated[
    str, Meta(pattern=r"^thumbnails/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]{1,5}$")
]


class TransferError(TaskError):
    """An import that changed nothing; the text names each line that is at fault."""


class _File(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    sha256: _Sha256
    bytes: Annotated[int, Meta(ge=0)]
    content_type: _Name
    path: _FilePath
    thumbnail_path: _ThumbnailPath | None = None
    source_url: str | None = None


class _Event(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    seq: Annotated[int, Meta(ge=1)]
    event: _Name
    status: TaskStatus
    progress: _Share
    at: _Time
    data: dict[str, Any] | None = None


class _Prediction(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    id: _Name
    created_at: _Time


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    format: Literal["phoenix_compat.task.1"]
    id: _Id
    type: _Name
    task_type: _Name
    model: _Name
    input: dict[str, Any]
    provider_input: dict[str, Any]
    fingerprint: _Sha256
    status: TaskStatus
    progress: _Share
    created_at: _Time
    updated_at: _Time
    prediction_id: _Name | None = None
    attempts: _Count = 0
    connect_failures: _Count = 0
    cancel_requested: Annotated[int, Meta(ge=0, le=1)] = 0
    result_data: dict[str, Any] | None = None
    error_data: dict[str, Any] | None = None
    not_before: _Time | None = None
    submitted_at: _Time | None = None
    started_at: _Time | None = None
    completed_at: _Time | None = None
    cycle: Annotated[int, Meta(ge=1)] = 1
    retries: _Count = 0
    models_tried: list[_Name] = []
    provider_model: _Name | None = None
    deadline_s: Annotated[float, Meta(gt=0)] | None = None
    files: list[_File] = []
    estimated_cost_usd: Annotated[float, Meta(ge=0)] | None = None
    events: Annotated[list[_Event], Meta(min_length=1)]
    predictions: list[_Prediction] = []


_JSON_COLUMNS: Final = frozenset(
    {"input", "provider_input", "result_data", "error_data", "models_tried", "files"}
)
_COLUMNS: Final = tuple(
    name for name in _Line.__struct_fields__ if name not in {"format", "events", "predictions"}
)
_ADD_TASK: Final = (
    f"INSERT INTO tasks ({', '.join(_COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join(':' + name for name in _COLUMNS)})"
)
_ADD_EVENT: Final = """
INSERT INTO events (task_id, seq, event, status, progress, data, at)
VALUES (:task_id, :seq, :event, :status, :progress, :data, :at)
"""
_ADD_PREDICTION: Final = "INSERT INTO predictions (id, task_id, created_at) VALUES (?, ?, ?)"


@dataclass(slots=True)
class Imported:
    """What an import did.

    Attributes:
        added: tasks that are new here. known: tasks that were here, and stay as they are.
        left_out: unfinished tasks, which were not asked for.
    """

    added: int = 0
    known: int = 0
    left_out: int = 0


def exported(database: Path, schema_sql: str) -> Iterator[bytes]:
    """Every task as a line, oldest first, as of one moment; a server may be running.

    Raises:
        StoreVersionError: the database has another version than this program.
        StoreOpenError: there is none, or it cannot be read.
    """
    wanted = version_of(schema_sql)
    with opened_for_reading(database) as connection:
        connection.execute("BEGIN")
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found != wanted:
            advice = "run `phoenix-compat upgrade` first"
            raise StoreVersionError(
                database, advice if found < wanted else version_advice(found, wanted)
            )
        for row in connection.execute("SELECT * FROM tasks ORDER BY number"):
            yield _encoded(connection, row)


def _encoded(connection: sqlite3.Connection, row: sqlite3.Row) -> bytes:
    values: dict[str, Any] = {name: _plain(name, row[name]) for name in _COLUMNS}
    key = (row["id"],)
    events = connection.execute("SELECT * FROM events WHERE task_id = ? ORDER BY seq", key)
    predictions = connection.execute(
        "SELECT id, created_at FROM predictions WHERE task_id = ? ORDER BY created_at, id", key
    )
    line = {
        "format": FORMAT,
        **values,
        "events": [
            {
                name: json.loads(event[name]) if name == "data" else event[name]
                for name in _Event.__struct_fields__
                if event[name] is not None
            }
            for event in events
        ],
        "predictions": [dict(prediction) for prediction in predictions],
    }
    return msgspec.json.encode(msgspec.convert(line, _Line)) + b"\n"


def _plain(name: str, value: Any) -> Any:
    return json.loads(value) if name in _JSON_COLUMNS and value is not None else value


def import_lines(
    database: Path, schema_sql: str, lines: Iterable[bytes], *, with_unfinished: bool
) -> Imported:
    """Add tasks of JSON lines, all or none; tasks that are here already stay as they are.

    Args:
        with_unfinished: also those that are queued or running; a server will work on them.

    Raises:
        TransferError: a line is at fault; nothing was added.
        StoreInUseError: a server uses the database.
    """
    try:
        lock = lock_file(database)
    except StoreInUseError as error:
        raise StoreInUseError(database, "a server is using it; stop it first") from error
    with lock:
        check_file(database, schema_sql, busy_timeout_s=5.0)
        connection = sqlite3.connect(database, isolation_level=None)
        with contextlib.closing(connection):
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            imported, problems = _add_all(connection, lines, with_unfinished=with_unfinished)
            if problems:
                connection.execute("ROLLBACK")
                raise TransferError("\n".join([*problems, "nothing was imported"]))
            connection.execute("COMMIT")
    return imported


def _add_all(
    connection: sqlite3.Connection, lines: Iterable[bytes], *, with_unfinished: bool
) -> tuple[Imported, list[str]]:
    imported = Imported()
    problems: list[str] = []
    seen: set[str] = set()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = _checked(text)
            if line.id in seen:
                raise TransferError(f"the task {line.id} stands in the file twice")  # noqa: TRY301 - told below
            seen.add(line.id)
            if not line.status.is_terminal and not with_unfinished:
                imported.left_out += 1
            elif connection.execute("SELECT 1 FROM tasks WHERE id = ?", (line.id,)).fetchone():
                imported.known += 1
            else:
                _add(connection, line)
                imported.added += 1
        except (TransferError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            problems.append(f"line {number}: {error}")
        except sqlite3.IntegrityError as error:
            problems.append(f"line {number}: it clashes with another task: {error}")
        if len(problems) == MAX_PROBLEMS:
            problems.append("and perhaps more")
            break
    return imported, problems


def _checked(text: bytes) -> _Line:
    if len(text) > MAX_LINE_BYTES:
        raise TransferError(f"it has more than {MAX_LINE_BYTES} bytes")
    try:
        line = msgspec.json.decode(text, type=_Line)
    except RecursionError as error:
        raise TransferError(f"it {TOO_DEEP}") from error
    for name in sorted(_JSON_COLUMNS):
        if is_too_deep(getattr(line, name)):
            raise TransferError(f"{name}: it {TOO_DEEP}")
    if any(is_too_deep(event.data) for event in line.events):
        raise TransferError(f"events: data {TOO_DEEP}")
    if [event.seq for event in line.events] != list(range(1, len(line.events) + 1)):
        raise TransferError("events: seq must count 1, 2, 3 …")
    if line.status.is_terminal and line.completed_at is None:
        raise TransferError(f"completed_at: a task that is {line.status} has one")
    if line.status is TaskStatus.RUNNING and line.prediction_id is None:
        raise TransferError("prediction_id: a running task has one")
    known = {prediction.id for prediction in line.predictions}
    if line.prediction_id is not None and line.prediction_id not in known:
        raise TransferError("predictions: the task's own prediction_id is missing")
    for file in line.files:
        if re.search(file.sha256, file.path) is None:
            raise TransferError("files: path must be named by sha256")
    return line


def _add(connection: sqlite3.Connection, line: _Line) -> None:
    values = {name: _stored(name, getattr(line, name)) for name in _COLUMNS}
    connection.execute(_ADD_TASK, values)
    for prediction in line.predictions:
        connection.execute(_ADD_PREDICTION, (prediction.id, line.id, prediction.created_at))
    for event in line.events:
        data = None if event.data is None else msgspec.json.encode(event.data).decode()
        row = msgspec.structs.asdict(event) | {"task_id": line.id, "data": data}
        connection.execute(_ADD_EVENT, row)


def _stored(name: str, value: Any) -> Any:
    if name in _JSON_COLUMNS and value is not None:
        return msgspec.json.encode(value).decode()
    return value
