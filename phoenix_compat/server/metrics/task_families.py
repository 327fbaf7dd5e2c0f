"""The metrics of tasks, the provider, the store and the archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from phoenix_compat.server.metrics.families import (
    Family,
    count_table,
    counter,
    counters,
    gauge,
    gauges,
    histogram,
    histogram_table,
)
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.model.caps import Period
from phoenix_compat.tasks.store.spending import ALL
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.circuit_breaker import BreakerState
from phoenix_compat.tasks.worker.worker import Worker

MICRODOLLARS: Final = 1_000_000


def worker_families(worker: Worker) -> Iterator[Family]:
    """What the worker has counted since the start of this process."""
    measures, provider = worker.measures, worker.provider_state
    yield counter("tasks_queued", "Tasks that were added, and retried by clients.", measures.queued)
    yield histogram(
        "queue_wait_seconds",
        "How long tasks waited for their first create.",
        measures.queue_wait,
    )
    yield histogram_table(
        "task_duration_seconds",
        "How long completed tasks took, from the order to the result.",
        measures.duration,
    )
    yield count_table("tasks_ended", "Tasks that ended, by error code.", measures.ended)
    yield gauge("tasks_running", "Tasks that are being worked on.", worker.running)
    yield gauge(
        "changes_waiting",
        "Changes of tasks that are kept in memory until the database works again.",
        worker.changes_waiting,
    )
    yield counters(
        "creates",
        "Creates that were sent to the provider.",
        ("result",),
        (((result,), count) for result, count in measures.creates.items()),
    )
    yield histogram_table(
        "provider_request_seconds", "How long calls of the provider took.", measures.requests
    )
    yield gauges(
        "provider_circuit",
        "1 for the present state of the circuit breaker.",
        ("state",),
        (((state.value,), float(state is provider.circuit)) for state in BreakerState),
    )
    yield gauge(
        "provider_creates_per_minute",
        "The rate of creates in use, as configured or as learned.",
        provider.creates_per_minute,
    )
    yield count_table(
        "spend_usd", "Estimated cost of the predictions that were created.", measures.spend_usd
    )
    yield counters(
        "worker_events",
        "Rare events of the worker, such as repeats and fallbacks.",
        ("event",),
        (((event,), count) for event, count in sorted(worker.counts.items())),
    )


async def store_families(store: TaskStore) -> list[Family]:
    """What the database says; it must be open. Raises StoreUnavailableError."""
    counts, writes = await store.status_counts(), store.write_counts
    spent_usd, ordered = await spent_today(store)
    return [
        gauges(
            "tasks",
            "Tasks in the database; ended ones are counted once a minute.",
            ("status",),
            (((status.value,), count) for status, count in sorted(counts.items())),
        ),
        gauge("spend_today_usd", "Estimated cost of what was ordered this UTC day.", spent_usd),
        gauge("tasks_today", "Tasks that were ordered this UTC day.", ordered),
        counter("caps_refused", "Orders that a cap refused.", store.budget.refused),
        histogram("commit_seconds", "How long commits of the database took.", writes.commit),
        counter("commit_writes", "Writes in these commits.", writes.writes),
        counter("commit_refused", "Writes refused because too many waited.", writes.refused),
        gauge("commit_waiting", "Writes that wait for the next commit.", store.waiting_writes),
    ]


async def spent_today(store: TaskStore) -> tuple[float, int]:
    """What was ordered this UTC day, in US dollars and in tasks; NaN if that cannot be read."""
    spent = await store.spending(Period.DAY.name_at(store.clock.now()), ALL)
    if spent is None:
        return float("nan"), 0
    return spent.microdollars / MICRODOLLARS, spent.tasks


def archive_families(archive: Archive) -> Iterator[Family]:
    """The archived files; in the process that writes them."""
    counts = archive.counts
    yield gauge("archive_bytes", "The size of all archived files.", archive.total_bytes)
    kept: Mapping[str, int] = {"kept": counts.kept, "known": counts.known, "pruned": counts.pruned}
    yield counters(
        "archive_files",
        "Files that were stored, were there already, or were deleted.",
        ("result",),
        (((result,), count) for result, count in kept.items()),
    )
    yield counters(
        "archive_failures",
        "Files that could not be stored.",
        ("reason",),
        (((reason,), count) for reason, count in sorted(counts.failures.items())),
    )
    yield counters(
        "file_requests",
        "Requests to the bucket of the files, and those that were retried or failed in the end.",
        ("kind",),
        (((kind,), count) for kind, count in sorted(archive.files.requests.items())),
    )
