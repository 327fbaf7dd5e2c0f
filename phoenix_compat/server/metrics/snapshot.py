"""The few numbers that operators look at first: for the console, and for the command `status`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

import msgspec

from phoenix_compat.server.metrics.process_families import STARTED_AT_S
from phoenix_compat.server.metrics.task_families import spent_today
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.worker import Worker
from phoenix_compat.version import __version__


class TaskNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks; in the process that has the database.

    Attributes:
        queued, running, completed, failed: tasks in the database; running ones with those whose
            create is on its way.
        ended_per_minute, failed_per_minute: in the last minute.
        p50_s, p95_s: the time from the order to the picture, in seconds, of the tasks that
            completed in the last hour in this process; None if there were none.
        spend_today_usd: the estimated cost of what was ordered this UTC day; None if that cannot
            be read.
        tasks_today: tasks that were ordered this UTC day.
        circuit: closed, open or half_open.
        circuit_reason: the error code that opened it.
        creates_per_minute: the rate of creates in use.
        archive_bytes: the size of all archived files.
    """

    queued: int
    running: int
    completed: int
    failed: int
    ended_per_minute: int
    failed_per_minute: int
    p50_s: float | None
    p95_s: float | None
    spend_today_usd: float | None
    tasks_today: int
    circuit: str
    circuit_reason: str | None
    creates_per_minute: float
    archive_bytes: int


class ProcessNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """One process.

    Attributes:
        connections: open connections of clients, sockets included.
        frames_received, frames_sent: messages since the start of the process.
        outbox_bytes: bytes that wait for slow clients.
        loop_lag_s: how late the event loop was in the last ten seconds, at most.
        memory_bytes: resident memory; None where the system does not say it.
        tasks: None in a process that does not have the database.
    """

    sockets: int
    channels: int
    connections: int
    frames_received: int
    frames_sent: int
    outbox_bytes: int
    loop_lag_s: float
    memory_bytes: int | None
    tasks: TaskNumbers | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All processes together; the attributes of ProcessNumbers are sums, `loop_lag_s` the worst.

    Attributes:
        processes: how many answered.
        missing_processes: how many did not.
        up_s: how long this process has run, in seconds.
        tasks: None while no process has the database, or it cannot be read.
    """

    version: str
    up_s: float
    processes: int
    missing_processes: int
    sockets: int
    channels: int
    connections: int
    frames_received: int
    frames_sent: int
    outbox_bytes: int
    loop_lag_s: float
    memory_bytes: int
    tasks: TaskNumbers | None

    @classmethod
    def of(cls, processes: Sequence[ProcessNumbers], *, missing: int) -> Self:
        """Add up the numbers of processes.

        Args:
            missing: how many processes did not answer.
        """
        return cls(
            version=__version__,
            up_s=round(time.time() - STARTED_AT_S, 1),
            processes=len(processes),
            missing_processes=missing,
            sockets=sum(one.sockets for one in processes),
            channels=sum(one.channels for one in processes),
            connections=sum(one.connections for one in processes),
            frames_received=sum(one.frames_received for one in processes),
            frames_sent=sum(one.frames_sent for one in processes),
            outbox_bytes=sum(one.outbox_bytes for one in processes),
            loop_lag_s=max((one.loop_lag_s for one in processes), default=0.0),
            memory_bytes=sum(one.memory_bytes or 0 for one in processes),
            tasks=next((one.tasks for one in processes if one.tasks is not None), None),
        )


async def task_numbers(worker: Worker, store: TaskStore, archive: Archive) -> TaskNumbers:
    """Read the numbers of tasks. Raises StoreUnavailableError."""
    counts, recent = await store.status_counts(), worker.measures.recent()
    spent_usd, tasks_today = await spent_today(store)
    provider = worker.provider_state
    return TaskNumbers(
        queued=counts[TaskStatus.QUEUED],
        running=counts[TaskStatus.SUBMITTING] + counts[TaskStatus.RUNNING],
        completed=counts[TaskStatus.COMPLETED],
        failed=counts[TaskStatus.FAILED],
        ended_per_minute=recent.ended_per_minute,
        failed_per_minute=recent.failed_per_minute,
        p50_s=recent.p50_s,
        p95_s=recent.p95_s,
        spend_today_usd=spent_usd if spent_usd == spent_usd else None,  # noqa: PLR0124 - NaN
        tasks_today=tasks_today,
        circuit=provider.circuit.value,
        circuit_reason=provider.reason,
        creates_per_minute=round(provider.creates_per_minute, 1),
        archive_bytes=archive.total_bytes,
    )
