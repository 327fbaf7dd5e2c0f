"""Kinds of task from a TOML file: a new one needs no code. `task_types.toml` explains the keys."""

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
from phoenix_compat.tasks.model.task_types import RESULTS, TASK_TYPES, TaskType, checked_model

_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def load_task_types(path: Path) -> Mapping[str, TaskType]:
    """The task types of a file, by `input_data.type`. Reads the disk: not for the event loop's
    thread.

    Raises:
        ConfigError: the file, the table and the key of everything that cannot work.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    return parse_task_types(text, str(path))


def packaged_task_types() -> Mapping[str, TaskType]:
    """`TASK_TYPES` and those of the packaged task_types.toml. Reads the disk, as
    `load_task_types` does.
    """
    name = "task_types.toml"
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    return {**TASK_TYPES, **parse_task_types(text, name)}


def parse_task_types(text: str, name: str) -> Mapping[str, TaskType]:
    """The task types of a TOML text; `name` is the file that errors speak of.

    Raises:
        ConfigError: the table and the key of everything that cannot work.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: is no TOML ({error})") from error
    task_types: dict[str, TaskType] = {}
    problems: list[str] = []
    for type_, table in tables.items():
        row = _row(type_, table, problems)
        if row is not None:
            task_types[type_] = row
    if problems:
        raise ConfigError("\n".join(f"{name}: {problem}" for problem in problems))
    return task_types


def _a_model(model: str) -> str:
    try:
        return checked_model(model, "model")
    except InvalidInputError as error:
        raise ValueError(error.reason) from error


_Model = Annotated[str, AfterValidator(_a_model)]
_InputName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class _Row(BaseModel):
    """A table of the file; the keys are explained in task_types.toml."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task_type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    default_model: _Model
    result: Literal["image", "file", "text", "json"]
    prompt: bool = True
    required_inputs: list[_InputName] = Field(default=[], max_length=32)
    deadline_s: Annotated[float | None, Field(ge=5.0, le=86_400.0, allow_inf_nan=False)] = None
    price_usd: Annotated[float | None, Field(ge=0.0, allow_inf_nan=False)] = None
    fallback_models: list[_Model] = Field(default=[], max_length=8)


def _row(type_: str, table: Any, problems: list[str]) -> TaskType | None:
    if not _TYPE.fullmatch(type_):
        problems.append(
            f"[{type_}]: a type is 1 to 40 small letters, digits, - and _, with a letter first"
        )
        return None
    if not isinstance(table, dict):
        problems.append(f"{type_}: must stand in a table, [the name of the type]")
        return None
    try:
        row = _Row.model_validate(table)
    except pydantic.ValidationError as error:
        problems.extend(
            f"[{type_}] {'.'.join(map(str, found['loc']))}: {_reason(found['type'], found['msg'])}"
            for found in error.errors(include_url=False, include_input=False)
        )
        return None
    return TaskType(
        task_type=row.task_type,
        default_model=row.default_model,
        result=RESULTS[row.result],
        deadline_s=row.deadline_s,
        fallback_models=tuple(row.fallback_models),
        needs_prompt=row.prompt,
        required_inputs=tuple(row.required_inputs),
        price_usd=row.price_usd,
    )


def _reason(type_: str, text: str) -> str:
    if type_ == "extra_forbidden":
        return f"there is no such key; known keys: {', '.join(_Row.model_fields)}"
    if type_ == "missing":
        return "is missing"
    return text.removeprefix("Value error, ")
