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


_Model = Annotated[str, AfterValidator(_validate_model)]
_InputName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class _Table(BaseModel):
    """A table of the file; task_types.toml explains the keys."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task_type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    default_model: _Model
    result: Literal["image", "file", "text", "json"]
    prompt: bool = True
    required_inputs: list[_InputName] = Field(default=[], max_length=32)
    deadline_s: Annotated[float | None, Field(ge=5.0, le=86_400.0, allow_inf_nan=False)] = None
    price_usd: Annotated[float | None, Field(ge=0.0, allow_inf_nan=False)] = None
    fallback_models: list[_Model] = Field(default=[], max_length=8)


_EXPECTED: Mapping[str, str] = {
    "task_type": "1 to 40 lower-case letters, digits and _, starting with a letter",
    "default_model": 'a string like "owner/name" or "owner/name:version"',
    "result": '"image", "file", "text" or "json"',
    "prompt": "true or false",
    "required_inputs": "a list of at most 32 names of inputs",
    "deadline_s": "a number of seconds from 5 to 86400",
    "price_usd": "a number, 0 or more",
    "fallback_models": 'a list of at most 8 strings like "owner/name" or "owner/name:version"',
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
            f"{_reason(detail['type'], str(detail['loc'][0]))}"
            for detail in error.errors(include_url=False, include_input=False)
        )
        return None
    return TaskType(
        name=row.task_type,
        default_model=row.default_model,
        result=RESULTS[row.result],
        deadline_s=row.deadline_s,
        fallback_models=tuple(row.fallback_models),
        needs_prompt=row.prompt,
        required_inputs=tuple(row.required_inputs),
        price_usd=row.price_usd,
    )


def _reason(error_type: str, key: str) -> str:
    if error_type == "extra_forbidden":
        return f"is not a known key; known keys: {', '.join(_Table.model_fields)}"
    if error_type == "missing":
        return "is missing"
    return f"must be {_EXPECTED[key]}"
