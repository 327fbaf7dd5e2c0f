"""What this server sends to the webhooks of `on_task_webhooks`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from phoenix_compat.server.http.schemas.answer import Answer
from phoenix_compat.server.http.schemas.tasks import TaskInList


class TaskWebhook(Answer):
    """An event of a task."""

    type: Literal["task.queued", "task.running", "task.completed", "task.failed"]
    timestamp: str = Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        json_schema_extra={"format": "date-time"},
        examples=["2026-01-05T10:00:09.120Z"],
        description="When it happened.",
    )
    data: TaskInList = Field(
        description="The task at that moment, with its owner. Links to files begin with "
        "`public_url`; without that setting they are paths."
    )
