"""The data of the events of a task, in its stream and on its channel."""

from __future__ import annotations

from pydantic import Field

from phoenix_compat.server.http.schemas.answer import Answer, Time
from phoenix_compat.server.http.schemas.tasks import ClientStatus, ErrorData, Progress, ResultData


class TaskProgress(Answer):
    """The state of a task."""

    task_id: str
    progress: Progress = Field(
        description="1.0 when it is completed; 0.0 while it waits, and when it failed."
    )
    status: ClientStatus
    timestamp: Time = Field(description="When it changed last.")
    result_data: ResultData | None = Field(default=None, description="If it is completed.")
    error_data: ErrorData | None = Field(default=None, description="If it has failed.")


class TaskOutput(Answer):
    """A part of the result of a task that is running: of its text, or of its files."""

    task_id: str
    seq: int = Field(
        ge=0,
        description="The length of the text after this part, in UTF-16 code units; or the number "
        "of files.",
    )
    text: str | None = Field(default=None, description="What the model has written since.")
    urls: list[str] | None = Field(default=None, description="Files that are stored since.")
