"""Shows how the provider does: the pace of creates, errors, times, models and their cost.

The numbers are those of `/metrics`, since the start of the process that runs the worker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec

from phoenix_compat.measures import Histogram
from phoenix_compat.server.inspection.processes import Processes
from phoenix_compat.tasks.worker.worker import Worker

FALLBACK_IN_FORCE_S: Final = 600.0
"""A fallback counts as in force if a task was given to it in this time."""

_VIEW: Final = "provider.view"


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took.

    Attributes:
        buckets: pairs of an upper bound in seconds (None above all) and how often.
        p50_s, p95_s: estimated from the buckets; None without values.
    """

    count: int
    buckets: list[tuple[float | None, int]]
    p50_s: float | None
    p95_s: float | None


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one operation of the provider.

    Attributes:
        operation: submit, fetch, cancel or find.
        results: how many ended with each result.
    """

    operation: str
    results: dict[str, int]
    times: Times


class ModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """One model.

    Attributes:
        completed: its completed tasks.
        cost_usd: the estimated cost of its predictions; 0.0 also if its price is not known.
    """

    model: str
    completed: int
    p50_s: float | None
    p95_s: float | None
    cost_usd: float


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was unavailable, and the one that was used instead.

    Attributes:
        last_s_ago: when a task was given to it last; None if that is not known.
    """

    model: str
    fallback: str
    tasks: int
    last_s_ago: float | None
    is_in_force: bool


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    """The provider as operators see it.

    Attributes:
        circuit: closed, open or half_open.
        reason: the error code that opened it.
        creates: creates by result; "throttled" are 429 answers.
        errors: failed tasks by error code, most frequent first.
        queued: tasks that were added or retried.
        events: rare events of the worker, such as repeats.
    """

    circuit: str
    reason: str | None
    open_s: float
    creates_per_minute: float
    full_per_minute: float
    is_reduced: bool
    creates: dict[str, int]
    calls: list[Calls]
    errors: list[tuple[str, int]]
    models: list[ModelUse]
    fallbacks: list[Fallback]
    queued: int
    events: dict[str, int]


class ProviderStatus:
    """The provider, as the process that runs the worker knows it."""

    def __init__(self, worker: Worker, processes: Processes) -> None:
        self._worker = worker
        self._processes = processes
        processes.answer(_VIEW, self._answer)

    async def view(self) -> bytes:
        """A ProviderView as JSON.

        Raises:
            PhoenixCompatError: no process runs the worker, or it did not answer.
        """
        return await self._processes.ask_leader(_VIEW)

    async def _answer(self, _body: bytes) -> bytes:
        return msgspec.json.encode(view_of(self._worker))


def view_of(worker: Worker) -> ProviderView:
    """The provider as this worker sees it."""
    measures, state = worker.measures, worker.provider_state
    failed = ((code, int(count)) for (status, code), count in measures.ended if status == "failed")
    return ProviderView(
        circuit=state.circuit.value,
        reason=state.reason,
        open_s=round(state.open_s, 1),
        creates_per_minute=round(state.creates_per_minute, 1),
        full_per_minute=round(state.full_per_minute, 1),
        is_reduced=state.is_reduced,
        creates=dict(measures.creates),
        calls=_calls(measures.requests),
        errors=sorted(failed, key=lambda error: (-error[1], error[0])),
        models=_models(worker),
        fallbacks=[
            _fallback(worker, model, fallback, int(tasks))
            for (model, fallback), tasks in measures.fallbacks
        ],
        queued=measures.queued,
        events={name: count for name, count in sorted(worker.counts.items()) if count},
    )


def _calls(requests: Iterable[tuple[tuple[str, ...], Histogram]]) -> list[Calls]:
    results: defaultdict[str, dict[str, int]] = defaultdict(dict)
    times: defaultdict[str, list[Histogram]] = defaultdict(list)
    for (operation, result), histogram in requests:
        results[operation][result] = histogram.count
        times[operation].append(histogram)
    return [
        Calls(operation=operation, results=results[operation], times=_times(times[operation]))
        for operation in times
    ]


def _models(worker: Worker) -> list[ModelUse]:
    times: defaultdict[str, list[Histogram]] = defaultdict(list)
    for (_type, model), histogram in worker.measures.duration:
        times[model].append(histogram)
    cost = {model: usd for (model,), usd in worker.measures.spend_usd}
    uses = []
    for model in dict.fromkeys((*times, *cost)):
        took = _times(times[model]) if model in times else None
        uses.append(
            ModelUse(
                model=model,
                completed=0 if took is None else took.count,
                p50_s=None if took is None else took.p50_s,
                p95_s=None if took is None else took.p95_s,
                cost_usd=cost.get(model, 0.0),
            )
        )
    return sorted(uses, key=lambda use: (-use.cost_usd, -use.completed, use.model))


def _fallback(worker: Worker, model: str, fallback: str, tasks: int) -> Fallback:
    ago_s = worker.measures.fell_back_s_ago(model, fallback)
    return Fallback(
        model=model,
        fallback=fallback,
        tasks=tasks,
        last_s_ago=None if ago_s is None else round(ago_s, 1),
        is_in_force=ago_s is not None and ago_s < FALLBACK_IN_FORCE_S,
    )


def _times(histograms: list[Histogram]) -> Times:
    """The sum of histograms with the same bounds."""
    bounds = histograms[0].bounds
    counts = [sum(column) for column in zip(*(one.counts for one in histograms), strict=True)]
    return Times(
        count=sum(counts),
        buckets=list(zip((*bounds, None), counts, strict=True)),
        p50_s=quantile(bounds, counts, 0.5),
        p95_s=quantile(bounds, counts, 0.95),
    )


def quantile(bounds: tuple[float, ...], counts: list[int], share: float) -> float | None:
    """An estimate from buckets, as Prometheus makes it: even within a bucket.

    Above the largest bound it is that bound; None without values.
    """
    wanted = sum(counts) * share
    if not wanted:
        return None
    below, so_far = 0.0, 0
    for bound, count in zip(bounds, counts, strict=False):
        if so_far + count >= wanted:
            return round(below + (bound - below) * (wanted - so_far) / count, 3)
        below, so_far = bound, so_far + count
    return bounds[-1]
