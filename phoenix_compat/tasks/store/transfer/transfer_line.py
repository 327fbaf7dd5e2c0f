"""Encodes and parses a line of an export, with the same checks in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.model.task_types import validate_model
from phoenix_compat.tasks.store.columns import (
    CANCEL_REQUESTED,
    EVENT_COLUMNS,
    MAX_COUNT,
    MAX_NAME_CHARS,
    TASK_COLUMNS,
    Column,
    read_name,
    read_time,
)
from phoenix_compat.tasks.store.database import Row

FORMAT: Final = "phoenix_compat.task.1"
MAX_LINE_BYTES: Final = 16 * 2**20

_DIGITS: Final = "[0-9]{2}"
_Time = Annotated[
    str,
    Meta(pattern=rf"^[0-9]{{4}}-{_DIGITS}-{_DIGITS}T{_DIGITS}:{_DIGITS}:{_DIGITS}\.[0-9]{{3}}Z\Z"),
]
_Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
_Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
_Share = Annotated[float, Meta(ge=0.0, le=1.0)]
_Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_FilePath = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]{1,5}\Z")]
_ThumbnailPath = Annotated[
    str, Meta(pattern=r"^thumbnails/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]{1,5}\Z")
]


class TransferError(TaskError):
    """A line is invalid; the text names the field and what was expected."""


class _File(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    sha256: _Sha256
    bytes: Annotated[int, Meta(ge=0)]
    content_type: _Name
    path: _FilePath
    thumbnail_path: _ThumbnailPath | None = None
    source_url: str | None = None


class Event(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """An entry of a task's history."""

    seq: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    event: _Name
    status: TaskStatus
    progress: _Share
    at: _Time
    data: dict[str, Any] | None = None


class Prediction(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A prediction that a task has or had."""

    id: _Name
    created_at: _Time


class Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A line: a task with its history."""

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
    cycle: Annotated[int, Meta(ge=1, le=MAX_COUNT)] = 1
    retries: _Count = 0
    models_tried: list[_Name] = []
    provider_model: _Name | None = None
    deadline_s: Annotated[float, Meta(gt=0)] | None = None
    files: list[_File] = []
    estimated_cost_usd: Annotated[float, Meta(ge=0)] | None = None
    # A task without one of these has no such field, so that programs before it can read the line.
    owner: Annotated[str, Meta(max_length=MAX_NAME_CHARS)] = ""
    traceparent: Annotated[str, Meta(max_length=64)] | None = None
    events: Annotated[list[Event], Meta(min_length=1)]
    predictions: list[Prediction] = []


COLUMNS: Final = tuple(
    name for name in Line.__struct_fields__ if name not in {"format", "events", "predictions"}
)
_CHECKED: Final = {name: column for name, column in TASK_COLUMNS.items() if name in COLUMNS}
_JSON_COLUMNS: Final = frozenset(
    {"input", "provider_input", "result_data", "error_data", "models_tried", "files", "data"}
)


def parse_line(text: bytes) -> Line:
    """Parse a line.

    Raises:
        TransferError: it is invalid.
    """
    if len(text) > MAX_LINE_BYTES:
        raise TransferError(f"is longer than {MAX_LINE_BYTES} bytes")
    try:
        line = msgspec.json.decode(text, type=Line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise TransferError(str(error)) from error
    except RecursionError:
        raise TransferError("objects and lists are nested too deeply") from None
    _check(line)
    return line


def encode_line(row: Row, events: Sequence[Row], predictions: Iterable[Row]) -> bytes:
    """Encode a stored task as a line.

    Raises:
        TransferError: a stored value cannot be read, or could not be imported again.
    """
    _check_values("", _CHECKED, row)
    for event in events:
        _check_values(f"events.{event['seq']}.", EVENT_COLUMNS, event)
    document = {
        "format": FORMAT,
        **{name: _from_stored(name, row[name]) for name in COLUMNS},
        "events": [
            {
                name: _from_stored(name, event[name])
                for name in Event.__struct_fields__
                if event[name] is not None
            }
            for event in events
        ],
        "predictions": [dict(prediction) for prediction in predictions],
    }
    try:
        line = msgspec.convert(document, Line)
    except msgspec.MsgspecError as error:
        raise TransferError(str(error)) from error
    _check(line)
    text = msgspec.json.encode(line) + b"\n"
    if len(text) > MAX_LINE_BYTES:
        raise TransferError(f"its line would be longer than {MAX_LINE_BYTES} bytes")
    return text


def task_values(line: Line) -> dict[str, Any]:
    """The column values of a line's task."""
    return {name: _to_stored(name, getattr(line, name)) for name in COLUMNS}


def event_values(event: Event) -> dict[str, Any]:
    """The column values of an event, without `task_id`."""
    return {name: _to_stored(name, getattr(event, name)) for name in Event.__struct_fields__}


def _check(line: Line) -> None:
    """Check that the values can be read after they are stored, and that they are consistent."""
    _check_values("", _CHECKED, task_values(line))
    for index, event in enumerate(line.events):
        _check_values(f"events[{index}].", EVENT_COLUMNS, event_values(event))
    _check_predictions(line)
    _check_history(line)
    for field, models in (
        ("model", [line.model]),
        ("provider_model", [] if line.provider_model is None else [line.provider_model]),
        ("models_tried", line.models_tried),
    ):
        _check_models(field, models)
    if line.status.is_terminal and line.completed_at is None:
        raise TransferError(f"completed_at: a task that is {line.status} must have one")
    for file in line.files:
        if file.sha256 not in file.path:
            raise TransferError("files: path must contain the sha256")


def _check_values(prefix: str, columns: Mapping[str, Column], values: Row) -> None:
    for name, column in columns.items():
        try:
            column.read(values[name])
        except ValueError:
            raise TransferError(f"{prefix}{name}: expected {column.expected}") from None


def _check_predictions(line: Line) -> None:
    if line.status is TaskStatus.RUNNING and line.prediction_id is None:
        raise TransferError("prediction_id: a running task must have one")
    known: set[str] = set()
    for index, prediction in enumerate(line.predictions):
        for name, read in (("id", read_name), ("created_at", read_time)):
            try:
                read(getattr(prediction, name))
            except ValueError:
                expected = TASK_COLUMNS[name].expected
                problem = f"predictions[{index}].{name}: expected {expected}"
                raise TransferError(problem) from None
        if prediction.id in known:
            raise TransferError(f"predictions[{index}].id: is listed twice")
        known.add(prediction.id)
    if line.prediction_id is not None and line.prediction_id not in known:
        raise TransferError("predictions: the task's own prediction_id is missing")


def _check_history(line: Line) -> None:
    if [event.seq for event in line.events] != list(range(1, len(line.events) + 1)):
        raise TransferError("events: seq must count 1, 2, 3 …")
    for index, event in enumerate(line.events):
        if event.event not in {event.status, CANCEL_REQUESTED}:
            raise TransferError(
                f"events[{index}].event: must be the same as its status, {event.status}"
            )
    if line.events[-1].status is not line.status:
        raise TransferError(f"events: the last one must be {line.status}, like the task")


def _check_models(field: str, models: Iterable[str]) -> None:
    for model in models:
        try:
            is_valid = validate_model(model, field) == model
        except InvalidInputError:
            is_valid = False
        if not is_valid:
            raise TransferError(f'{field}: expected a model, such as "owner/name"')


def _from_stored(name: str, value: Any) -> Any:
    is_json = name in _JSON_COLUMNS and value is not None
    return msgspec.json.decode(value) if is_json else value


def _to_stored(name: str, value: Any) -> Any:
    is_json = name in _JSON_COLUMNS and value is not None
    return msgspec.json.encode(value).decode() if is_json else value
