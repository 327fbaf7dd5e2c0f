"""The answers of the API for tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from phoenix_compat.server.http.schemas.answer import Answer, Time

ClientStatus: TypeAlias = Literal["processing", "completed", "failed"]
State: TypeAlias = Literal["queued", "submitting", "running", "completed", "failed"]
Progress: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]


class TaskLinks(Answer):
    """Paths of a task."""

    self: str
    events: str
    cancel: str


class ResultData(Answer):
    """The result of a task; which keys it has depends on the type of the task."""

    image_url: str | None = Field(default=None, description="The first picture.")
    image_urls: list[str] | None = Field(
        default=None, description="All pictures, in the model's order."
    )
    output_urls: list[str] | None = Field(
        default=None, description="All files, in the model's order."
    )
    text: str | None = Field(default=None, description="The text that the model wrote.")
    output: Any = Field(default=None, description="What the model answered, as it came.")
    truncated: bool | None = Field(
        default=None,
        description="Whether a text was cut, or an output left out, because it is too long.",
    )
    model: str = Field(description="The model that ran; it may be a fallback model.")
    provider: str
    prediction_id: str = Field(description="The id of the prediction at the provider.")
    created_at: Time
    completed_at: Time


class ErrorData(Answer):
    """Why a task failed."""

    error: str = Field(description="A sentence for people.")
    code: str = Field(description="For programs; docs/tasks.md lists all codes.")


class TaskSummary(Answer):
    """A task that was created."""

    task_id: str
    status: ClientStatus = Field(description="The state as the channel tells it.")
    state: State = Field(description="The same in more detail.")
    progress: Progress = Field(
        description="1.0 when it is completed; 0.0 while it waits, and when it failed."
    )
    task_type: str = Field(description='What `input_data.type` stands for ("image_gen").')
    model: str
    created_at: Time
    topic: str = Field(description="The channel topic of the task, to join on `/socket`.")
    links: TaskLinks


class TaskInList(TaskSummary):
    """A task without its input."""

    updated_at: Time
    owner: str | None = Field(
        default=None, description="Whose task it is; only with the scope `operate`."
    )
    estimated_cost_usd: float | None = Field(
        default=None,
        ge=0.0,
        description="An estimate by the price table; absent if the price is unknown.",
    )
    completed_at: Time | None = Field(
        default=None, description="When it ended, completed or failed."
    )
    prediction_id: str | None = Field(
        default=None, description="The id of its prediction at the provider, once it has one."
    )
    result_data: ResultData | None = Field(
        default=None, description="The result, once it has completed."
    )
    error_data: ErrorData | None = Field(default=None, description="Why it failed, if it did.")
    omitted: list[Literal["result_data", "error_data"]] | None = Field(
        default=None,
        description="The keys that are left out because the task alone is longer than a page.",
    )


class TaskDetail(TaskInList):
    """A task in full."""

    input_data: dict[str, Any] = Field(
        description="What was posted; files that were inline are references to uploads."
    )
    queue_position: int | None = Field(
        default=None, ge=1, description="1 for the next task to start; only while it waits."
    )


class TaskList(Answer):
    """A page of tasks, newest first; at most 1 MiB."""

    tasks: list[TaskInList]
    next_cursor: str | None = Field(
        default=None,
        pattern="^[1-9][0-9]*$",
        description="Send it as `cursor` to get the next page; absent on the last one.",
    )


class TaskEventEntry(Answer):
    """A change of a task."""

    seq: int = Field(ge=1, description="1, 2, 3 … within the task.")
    event: str = Field(description="The state that was reached, or `cancel_requested`.")
    status: ClientStatus
    state: State
    progress: Progress
    at: Time
    data: ResultData | ErrorData | None = Field(
        default=None, description="The result, or why it failed."
    )


class TaskEvents(Answer):
    """The history of a task, oldest first."""

    events: list[TaskEventEntry]
