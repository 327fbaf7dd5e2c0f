"""Measures how long the calls of a provider take, and traces those of a task."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from phoenix_compat.measures import HistogramTable
from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.observability.tracing import TaskTracer
from phoenix_compat.tasks.provider.provider import Candidates, Provider
from phoenix_compat.tasks.streams.server_sent_events import ServerSentEvent

T = TypeVar("T")


class ObservedProvider:
    """A `Provider` that passes every call on to another one, and measures it.

    Args:
        requests: gets the seconds of each call, by operation and result.
        tracer: gets a span for each create, and for each search for one.
        now_s: a monotonic clock.
    """

    def __init__(
        self,
        provider: Provider,
        requests: HistogramTable,
        tracer: TaskTracer,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._provider = provider
        self._requests = requests
        self._tracer = tracer
        self._now_s = now_s

    async def submit(self, task: Task) -> PredictionRef:
        """See Provider."""
        with self._tracer.step("create", task) as span:
            span.note(attempt=task.attempts, model=task.running_model)
            ref = await self._measured("submit", self._provider.submit(task))
            span.note(prediction_id=ref.id)
        return ref

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """See Provider."""
        return await self._measured("fetch", self._provider.fetch(ref))

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """See Provider."""
        return await self._measured("cancel", self._provider.cancel(ref))

    async def find(self, since: datetime, task: Task) -> Candidates:
        """See Provider."""
        with self._tracer.step("reconcile", task) as span:
            found = await self._measured("find", self._provider.find(since, task))
            span.note(found=len(found.ours))
        return found

    def stream(self, ref: PredictionRef, after: str | None) -> AsyncGenerator[ServerSentEvent]:
        """See Provider; a stream lasts as long as its prediction, and is not measured."""
        return self._provider.stream(ref, after)

    async def close(self) -> None:
        """See Provider."""
        await self._provider.close()

    async def _measured(self, operation: str, call: Awaitable[T]) -> T:
        began_s = self._now_s()
        result = "canceled"
        try:
            answer = await call
            result = "ok"
        except ProviderError as error:
            result = result_of(error)
            raise
        finally:
            self._requests.observe((operation, result), self._now_s() - began_s)
        return answer


def result_of(error: ProviderError) -> str:
    """One word for how a call failed."""
    match error:
        case ProviderThrottledError():
            return "throttled"
        case ProviderRefusedError():
            return "refused"
        case ProviderUnreachableError():
            return "unreachable"
        case ProviderUncertainError():
            return "uncertain"
        case _:
            return "failed"
