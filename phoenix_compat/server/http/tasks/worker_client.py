"""What the API and the channels ask of the worker, in whichever process a task runs."""

from __future__ import annotations

from typing import Protocol

from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.observability.tracing import TaskTracer


class WorkerClient(Protocol):
    """The worker of this process, or those of all nodes; see Worker for the methods."""

    @property
    def tracer(self) -> TaskTracer:
        """Listens to the steps of tasks."""

    def note_queued(self, task: Task) -> None:
        """A task was added or retried."""

    async def cancel(self, task_id: str, *, owner: str | None = None) -> Task:
        """Request that a task be canceled. Raises TaskNotFoundError, StoreUnavailableError."""

    async def notice(self, task_id: str, snapshot: PredictionSnapshot | None) -> bool:
        """Pass a webhook of the provider to the run of its task. Raises StoreUnavailableError."""
