"""The seam for traces: what the worker tells of the steps of a task, whoever listens.

    POST /api/tasks      the request, below the span that the client names in `traceparent`
      queue              from the order to the first create
      create             one call that creates a prediction
      reconcile          the search for a prediction whose create was not answered
      poll               following the prediction, until it has ended or this process stops
      archive            storing copies of the output files
      announce           telling the clients of the end

The task's `traceparent` names the request's span, and is stored with the task. So the spans of
another process, after a restart, are in the same trace.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Final, Protocol, TypeAlias

from phoenix_compat.tasks.model.task import Task

Value: TypeAlias = str | int | float | bool


class Span(Protocol):
    """A step that is being carried out.

    Attributes:
        traceparent: names it, for spans below it; None if nobody listens and none was given.
    """

    traceparent: str | None

    def note(self, **attributes: Value | None) -> None:
        """Add attributes; those that are None are left out. Never what a client wrote."""

    def fail(self, reason: str) -> None:
        """Mark it as failed."""


class TaskTracer(Protocol):
    """Listens to the steps. A span that ends with an error is marked as failed."""

    def request(self, name: str, traceparent: str | None) -> AbstractContextManager[Span]:
        """A request that makes a task.

        Args:
            traceparent: the client's; None if it sent none that is valid.
        """

    def step(
        self, name: str, task: Task, *, began_at: datetime | None = None
    ) -> AbstractContextManager[Span]:
        """A step of a task.

        Args:
            began_at: when it began; None for now.
        """


class _Unheard:
    """A span that nobody listens to."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str | None = None) -> None:
        self.traceparent = traceparent

    def note(self, **attributes: Value | None) -> None:
        """See Span."""

    def fail(self, reason: str) -> None:
        """See Span."""


_UNHEARD: Final = nullcontext[Span](_Unheard())


class NoTracer:
    """Nobody listens. A client's trace is stored all the same: a later process may."""

    def request(self, name: str, traceparent: str | None) -> AbstractContextManager[Span]:
        """See TaskTracer."""
        del name
        return nullcontext(_Unheard(traceparent))

    def step(
        self, name: str, task: Task, *, began_at: datetime | None = None
    ) -> AbstractContextManager[Span]:
        """See TaskTracer."""
        del name, task, began_at
        return _UNHEARD
