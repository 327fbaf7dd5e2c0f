"""The answer to GET /api/task_types."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from phoenix_compat.server.http.schemas.answer import Answer


class TaskInput(Answer):
    """An input of a type, for a form."""

    name: str = Field(description="The key in `input_data`.")
    kind: Literal["text", "integer", "number", "boolean", "image", "audio", "video"]
    required: bool
    description: str | None = Field(default=None, description="For people.")
    default: Any = Field(default=None, description="What the model gets if the input is missing.")
    choices: list[Any] | None = Field(
        default=None, description="Values to choose from; others are passed on too."
    )
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = Field(default=None, description="In characters, of a text.")
    many: bool | None = Field(
        default=None, description="Whether a list of files is accepted; only for files."
    )


class TaskTypeModel(Answer):
    """A model that suits a type, and that the operator allows."""

    model: str
    inputs: list[str] = Field(description="The names of the inputs that it takes.")
    price_usd: float | None = Field(
        default=None, ge=0.0, description="An estimate for one output; absent if unknown."
    )


class TaskTypeDescription(Answer):
    """A type of tasks."""

    type: str = Field(description="What to write in `input_data.type`.")
    task_type: str = Field(description="What a task of this type has in `task_type`.")
    default_model: str
    models: list[TaskTypeModel]
    inputs: list[TaskInput]
    result: Literal["image", "file", "text", "json"] = Field(description="What it makes.")
    streams: bool = Field(description="Whether the text can be read while it is written.")
    takes_files: bool = Field(description="Whether an input is a file.")
    deadline_s: float | None = Field(
        default=None, description="How long it may take, in seconds, if it is not the usual time."
    )


class TaskTypeList(Answer):
    """The types that clients may ask for."""

    task_types: list[TaskTypeDescription]
    allowed_models: list[str] = Field(description="Patterns of the models that may run.")
