"""The bodies and queries of requests about tasks; the API checks them with these models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from phoenix_compat.tasks.model.inputs.input_checks import MAX_PROMPT_CHARS
from phoenix_compat.tasks.model.task import UNFINISHED, TaskStatus
from phoenix_compat.tasks.store.task_store import NEWEST, TaskFilter

MAX_PAGE: Final = 200
MAX_TEXT_CHARS: Final = 200

_STATUSES: Final[Mapping[str, frozenset[TaskStatus]]] = {
    "processing": UNFINISHED,
    **{status.value: frozenset({status}) for status in TaskStatus},
}
_INPUTS: Final[dict[str, pydantic.JsonValue]] = {
    "type": {
        "type": "string",
        "description": "A type that `GET /api/task_types` lists.",
        "examples": ["image"],
    },
    "prompt": {
        "type": ["string", "null"],
        "description": "Most types need one.",
        "examples": ["Medieval monk"],
        "minLength": 1,
        "maxLength": MAX_PROMPT_CHARS,
    },
    "model": {
        "type": ["string", "null"],
        "description": "`owner/name`, `owner/name:version` or `deployments/owner/name`; without "
        "one, the default model of the type runs.",
        "examples": ["google/imagen-4-fast"],
    },
}
"""What the document says about `input_data`; the task types check it."""
_SHORT: Final[dict[str, pydantic.JsonValue]] = {"minLength": 1, "maxLength": MAX_TEXT_CHARS}


def _is_short(text: str) -> str:
    if not 0 < len(text) <= MAX_TEXT_CHARS:
        raise ValueError(f"must have 1 to {MAX_TEXT_CHARS} characters")
    return text


def _is_owner(owner: str) -> str:
    return _is_short(owner) if owner else owner


_Text = Annotated[str, AfterValidator(_is_short)]


class CreateTask(BaseModel):
    """The body of POST /api/tasks; other keys are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)

    input_data: dict[str, Any] = Field(
        description="What to make: `type`, `prompt`, and the inputs of the model. Null counts as "
        "absent.",
        json_schema_extra={"properties": _INPUTS, "required": ["type"]},
    )


class TaskPage(BaseModel):
    """The query of GET /api/tasks. `type`, `model` and `text` are those of TaskFilter."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    status: str | None = Field(
        default=None,
        description="Only tasks in this state; `processing` stands for all that have not ended.",
        json_schema_extra={"enum": [*_STATUSES]},
    )
    limit: int = Field(
        default=50, ge=1, le=MAX_PAGE, description="The most tasks of a page; it may have fewer."
    )
    cursor: int = Field(
        default=NEWEST, ge=1, le=NEWEST, description="The `next_cursor` of the page before."
    )
    type: _Text | None = Field(
        default=None,
        description="Only tasks with this `input_data.type` or `task_type`.",
        json_schema_extra=_SHORT,
    )
    model: _Text | None = Field(
        default=None, description="Only tasks of this model.", json_schema_extra=_SHORT
    )
    text: _Text | None = Field(
        default=None,
        description="Only tasks with this text in their prompt.",
        json_schema_extra=_SHORT,
    )
    owner: Annotated[str, AfterValidator(_is_owner)] | None = Field(
        default=None,
        description="Only tasks of this owner; needs the scope `operate`. An empty one stands for "
        "tasks that belong to nobody in particular.",
        json_schema_extra={"maxLength": MAX_TEXT_CHARS},
    )

    @pydantic.field_validator("status")
    @classmethod
    def _is_known(cls, status: str | None) -> str | None:
        if status is not None and status not in _STATUSES:
            raise ValueError(f"must be one of: {', '.join(_STATUSES)}")
        return status

    @property
    def statuses(self) -> frozenset[TaskStatus]:
        """The states that are wanted."""
        return _STATUSES[self.status] if self.status else frozenset(TaskStatus)

    @property
    def filter(self) -> TaskFilter:
        """What else is wanted."""
        return TaskFilter(self.type, self.model, self.text)


class EventPage(BaseModel):
    """The query of GET /api/tasks/{id}/events."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    after: int = Field(
        default=0, ge=0, le=NEWEST, description="The last `seq` that the client has."
    )
    limit: int = Field(default=100, ge=1, le=MAX_PAGE, description="The most events of an answer.")
