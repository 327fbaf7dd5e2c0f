"""Reads task types from TOML files, so that a new one needs no code.

`task_types.toml`, in this folder, explains the keys.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from phoenix_compat.errors import ConfigError
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.inputs.input_spec import InputKind, InputSpec
from phoenix_compat.tasks.model.models import UNKNOWN_FAMILY, model_family
from phoenix_compat.tasks.model.task_types import RESULTS, TASK_TYPES, TaskType, validate_model

_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def load_task_types(path: Path, content: bytes | None = None) -> Mapping[str, TaskType]:
    """Read the task types of a file, by `input_data.type`. Blocking.

    Args:
        content: what was read from the file before; None reads it.

    Raises:
        ConfigError: it names the file, and the table and key of every mistake.
    """
    try:
        text = (path.read_bytes() if content is None else content).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: it is not UTF-8 text") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_task_types(text, str(path))


def packaged_task_types() -> Mapping[str, TaskType]:
    """Read `TASK_TYPES` and the task types of the packaged task_types.toml. Blocking."""
    name = "task_types.toml"
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    return {**TASK_TYPES, **parse_task_types(text, name)}


def parse_task_types(text: str, name: str) -> Mapping[str, TaskType]:
    """Parse the task types of a TOML text; `name` is the file name for error messages.

    Raises:
        ConfigError: it names the table and key of every mistake.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: is not valid TOML: {error}") from error
    task_types: dict[str, TaskType] = {}
    problems: list[str] = []
    for type_, table in tables.items():
        task_type = _parse_table(type_, table, problems)
        if task_type is not None:
            task_types[type_] = task_type
    if problems:
        raise ConfigError("\n".join(f"{name}: {problem}" for problem in problems))
    return task_types


def _validate_model(model: str) -> str:
    try:
        return validate_model(model, "model")
    except InvalidInputError as error:
        raise ValueError(error.reason) from error


def _known_model(model: str) -> str:
    if model_family(model) is UNKNOWN_FAMILY:
        raise ValueError("is not known")
    return model


_Model = Annotated[str, AfterValidator(_validate_model)]
_InputName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
_Bound = Annotated[float | None, Field(allow_inf_nan=False)]
_Value = (
    Annotated[str, Field(max_length=2_000)]
    | bool
    | int
    | Annotated[float, Field(allow_inf_nan=False)]
)


class _Input(BaseModel):
    """A table of an input; task_types.toml explains the keys."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    kind: Literal["text", "integer", "number", "boolean", "image", "audio", "video"]
    description: Annotated[str, Field(max_length=300)] = ""
    default: _Value | None = None
    choices: list[_Value] = Field(default=[], max_length=64)
    minimum: _Bound = None
    maximum: _Bound = None
    many: bool = False


class _Table(BaseModel):
    """A table of the file; task_types.toml explains the keys."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    task_type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    default_model: _Model
    result: Literal["image", "file", "text", "json"]
    prompt: bool = True
    required_inputs: list[_InputName] = Field(default=[], max_length=32)
    messages: bool = False
    deadline_s: Annotated[float | None, Field(ge=5.0, le=86_400.0, allow_inf_nan=False)] = None
    price_usd: Annotated[float | None, Field(ge=0.0, allow_inf_nan=False)] = None
    fallback_models: list[_Model] = Field(default=[], max_length=8)
    models: list[_Model] = Field(default=[], max_length=32)
    like: Annotated[str, AfterValidator(_known_model)] | None = None
    inputs: dict[_InputName, _Input] = Field(default={}, max_length=32)


_EXPECTED: Mapping[str, str] = {
    "task_type": "1 to 40 lower-case letters, digits and _, starting with a letter",
    "default_model": 'a string like "owner/name", "owner/name:version" or "deployments/owner/name"',
    "result": '"image", "file", "text" or "json"',
    "prompt": "true or false",
    "messages": "true or false",
    "required_inputs": "a list of at most 32 names of inputs",
    "deadline_s": "a number of seconds from 5 to 86400",
    "price_usd": "a number, 0 or more",
    "fallback_models": 'a list of at most 8 strings like "owner/name" or "owner/name:version"',
    "models": 'a list of at most 32 strings like "owner/name" or "owner/name:version"',
    "like": 'the name of a model whose inputs this server knows, as "google/nano-banana"',
    "inputs": "at most 32 tables, written as [TYPE.inputs.NAME]",
    "kind": '"text", "integer", "number", "boolean", "image", "audio" or "video"',
    "description": "a string of at most 300 characters",
    "default": "a value of the input's kind",
    "choices": "a list of at most 64 values of the input's kind",
    "minimum": "a number",
    "maximum": "a number",
    "many": "true or false, and false for everything that is not a file",
}
"""What each key of a table must be, for people."""


def _parse_table(type_: str, table: Any, problems: list[str]) -> TaskType | None:
    if not _TYPE.fullmatch(type_):
        problems.append(
            f"[{type_}]: the name of a type must be 1 to 40 lower-case letters, digits, - and _, "
            "starting with a letter"
        )
        return None
    if not isinstance(table, dict):
        problems.append(f"{type_}: must be a table, written as [{type_}] on a line of its own")
        return None
    try:
        row = _Table.model_validate(table)
    except pydantic.ValidationError as error:
        problems.extend(
            f"[{type_}] {'.'.join(map(str, detail['loc']))}: "
            f"{_reason(detail['type'], detail['loc'])}"
            for detail in error.errors(include_url=False, include_input=False)
        )
        return None
    specs = [_spec(type_, name, one, problems) for name, one in row.inputs.items()]
    return TaskType(
        name=row.task_type,
        default_model=row.default_model,
        result=RESULTS[row.result],
        deadline_s=row.deadline_s,
        fallback_models=tuple(row.fallback_models),
        needs_prompt=row.prompt,
        required_inputs=tuple(row.required_inputs),
        price_usd=row.price_usd,
        inputs=tuple(specs),
        models=tuple(row.models),
        has_messages=row.messages,
        like=row.like,
    )


def _spec(type_: str, name: str, row: _Input, problems: list[str]) -> InputSpec:
    """An input; values that are not of its kind are added to the problems."""
    spec = InputSpec(
        name=name,
        kind=InputKind(row.kind),
        description=row.description,
        default=row.default,
        choices=tuple(row.choices),
        minimum=row.minimum,
        maximum=row.maximum,
        many=row.many,
    )
    wrong = []
    if row.many and not spec.kind.is_file:
        wrong.append("many")
    for key, values in (("default", [row.default]), ("choices", row.choices)):
        if any(value is not None and not _is_of_kind(spec, value) for value in values):
            wrong.append(key)
    problems.extend(f"[{type_}] inputs.{name}.{key}: must be {_EXPECTED[key]}" for key in wrong)
    return spec


def _is_of_kind(spec: InputSpec, value: object) -> bool:
    if spec.kind.is_file:
        return False
    try:
        spec.checked(value)
    except InvalidInputError:
        return False
    return True


def _reason(error_type: str, place: tuple[int | str, ...]) -> str:
    is_input = place[0] == "inputs" and len(place) > 2
    if error_type == "extra_forbidden":
        fields = (_Input if is_input else _Table).model_fields
        return f"is not a known key; known keys: {', '.join(fields)}"
    if error_type == "missing":
        return "is missing"
    return f"must be {_EXPECTED[str(place[2 if is_input else 0])]}"
