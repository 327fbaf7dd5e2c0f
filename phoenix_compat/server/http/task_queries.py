"""The queries of the requests that list tasks and their events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from phoenix_compat.tasks.model.task import UNFINISHED, TaskStatus
from phoenix_compat.tasks.store.task_store import NEWEST, TaskFilter

MAX_PAGE: Final = 200
MAX_TEXT_CHARS: Final = 200

_STATUSES: Final[Mapping[str, frozenset[TaskStatus]]] = {
    "processing": UNFINISHED,
    **{status.value: frozenset({status}) for status in TaskStatus},
}


def _is_short(text: str) -> str:
    if not 0 < len(text) <= MAX_TEXT_CHARS:
        raise ValueError(f"must have 1 to {MAX_TEXT_CHARS} characters")
    return text


def _is_owner(owner: str) -> str:
    return _is_short(owner) if owner else owner


_Text = Annotated[str, AfterValidator(_is_short)]


class TaskPage(BaseModel):
    """The query of GET /api/tasks. `cursor` is the `next_cursor` of the previous page.

    `type`, `model` and `text` are those of TaskFilter. Only operators may name an `owner`; an empty
    one is that of the tasks that belong to nobody in particular.
    """

    model_config = ConfigDict(extra="ignore")

    status: str | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: Annotated[int, Field(ge=1, le=NEWEST)] = NEWEST
    type: _Text | None = None
    model: _Text | None = None
    text: _Text | None = None
    owner: Annotated[str, AfterValidator(_is_owner)] | None = None

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
    """The query of GET /api/tasks/{id}/events. `after` is the last `seq` that the client has."""

    model_config = ConfigDict(extra="ignore")

    after: Annotated[int, Field(ge=0, le=NEWEST)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
