"""Reads all metrics of this process, when somebody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec
import structlog
from aiohttp import web

from phoenix_compat.accept import Connections
from phoenix_compat.background import BackgroundReport
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.measures import CountTable
from phoenix_compat.server.inspection.processes import Processes
from phoenix_compat.server.metrics.families import (
    Family,
    count_table,
    gauge,
    histogram_table,
    merged,
)
from phoenix_compat.server.metrics.loop_lag import LoopLag
from phoenix_compat.server.metrics.process_families import (
    bus_families,
    process_families,
    rate_families,
    resident_bytes,
)
from phoenix_compat.server.metrics.request_measures import RequestMeasures
from phoenix_compat.server.metrics.snapshot import (
    ProcessNumbers,
    Snapshot,
    TaskNumbers,
    task_numbers,
)
from phoenix_compat.server.metrics.socket_families import (
    channels_of,
    socket_families,
    unsent_bytes_of,
)
from phoenix_compat.server.metrics.task_families import (
    archive_families,
    store_families,
    worker_families,
)
from phoenix_compat.server.process.listening import REQUEST_OBSERVER
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.worker import Worker

More: TypeAlias = Callable[[], Sequence[Family]]
"""Reads further families; must not block."""

_FAMILIES: Final = "metrics.families"
_NUMBERS: Final = "metrics.numbers"
_read_families: Final = msgspec.msgpack.Decoder(list[Family]).decode
_read_numbers: Final = msgspec.msgpack.Decoder(ProcessNumbers).decode

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the numbers are.

    Attributes:
        store: not open in a process that does not have the database; then neither it nor the
            archive is read.
        rates: how many requests each rate limit has refused.
        bus: the counts of the bus; it returns None without a bus.
        webhooks: webhooks of the provider by result.
        more: further families, of parts that this module does not know.
    """

    endpoint: Endpoint
    connections: Connections
    background: BackgroundReport
    requests: RequestMeasures
    worker: Worker
    store: TaskStore
    archive: Archive
    rates: Callable[[], dict[str, int]]
    bus: Callable[[], dict[str, int] | None] = lambda: None
    webhooks: CountTable = field(default_factory=lambda: CountTable(("result",)))
    more: list[More] = field(default_factory=list)


class Metrics:
    """The metrics of this process, and of the others through `processes`.

    Args:
        processes: the processes of this server; the questions are set here.
        is_alone: whether no other process listens on the same port; then samples have no label
            `process`.

    Attributes:
        lag: measures the event loop.
        sources: see Sources.
    """

    def __init__(self, sources: Sources, processes: Processes, *, is_alone: bool) -> None:
        self.sources = sources
        self.lag = LoopLag()
        self._processes = processes
        self._is_alone = is_alone
        processes.answer(_FAMILIES, self._answer_families)
        processes.answer(_NUMBERS, self._answer_numbers)

    async def read(self) -> list[Family]:
        """The families of this process."""
        began_s = time.perf_counter()
        sources = self.sources
        memory_bytes = await asyncio.to_thread(resident_bytes)
        families = [
            *process_families(sources.connections, self.lag, sources.background, memory_bytes),
            *socket_families(sources.endpoint),
            histogram_table(
                "http_requests_seconds",
                "How long HTTP requests took; a long poll waits by design.",
                sources.requests.requests,
            ),
            *rate_families(sources.rates()),
            count_table("webhooks", "Webhooks of the provider.", sources.webhooks),
        ]
        bus_counts = sources.bus()
        if bus_counts is not None:
            families += bus_families(bus_counts)
        if sources.store.is_open:
            families += [*worker_families(sources.worker), *archive_families(sources.archive)]
            try:
                families += await store_families(sources.store)
            except StoreUnavailableError as error:
                log.warning("metrics.store_unavailable", reason=str(error))
        for more in sources.more:
            families += more()
        families.append(
            gauge(
                "scrape_seconds",
                "How long it took to read these numbers.",
                time.perf_counter() - began_s,
            )
        )
        return families

    async def gather(self) -> list[Family]:
        """The families of the processes on this port, with the label `process` for several."""
        if self._is_alone:
            return await self.read()
        answers = await self._processes.ask_siblings(_FAMILIES)
        found = merged((node, _read_families(body)) for node, body in answers.by_node.items())
        found.append(
            gauge("scrape_missing_processes", "Processes that did not answer.", len(answers.silent))
        )
        return found

    async def snapshot(self) -> Snapshot:
        """The few numbers that operators look at first, of all processes together."""
        answers = await self._processes.ask_all(_NUMBERS)
        numbers = [_read_numbers(body) for body in answers.by_node.values()]
        return Snapshot.of(numbers, missing=len(answers.silent))

    async def _answer_families(self, _body: bytes) -> bytes:
        return msgspec.msgpack.encode(await self.read())

    async def _answer_numbers(self, _body: bytes) -> bytes:
        return msgspec.msgpack.encode(await self.numbers())

    async def numbers(self) -> ProcessNumbers:
        """The same, of this process alone."""
        sources = self.sources
        counts = sources.endpoint.counters
        tasks: TaskNumbers | None = None
        if sources.store.is_open:
            try:
                tasks = await task_numbers(sources.worker, sources.store, sources.archive)
            except StoreUnavailableError as error:
                log.warning("metrics.store_unavailable", reason=str(error))
        return ProcessNumbers(
            sockets=counts.sockets_connected - counts.sockets_closed,
            channels=channels_of(sources.endpoint),
            connections=sources.connections.open,
            frames_received=sum(wire.frames_received for wire in sources.endpoint.wires),
            frames_sent=sum(wire.frames_sent for wire in sources.endpoint.wires),
            outbox_bytes=unsent_bytes_of(sources.endpoint),
            loop_lag_s=round(self.lag.recent_s, 4),
            memory_bytes=await asyncio.to_thread(resident_bytes),
            tasks=tasks,
        )


METRICS: Final = web.AppKey("metrics", Metrics)
"""The key under which an application stores them."""


async def snapshot(app: web.Application) -> Snapshot:
    """The few numbers that operators look at first; see Snapshot."""
    return await app[METRICS].snapshot()


def start_metrics(
    app: web.Application,
    stack: AsyncExitStack,
    sources: Sources,
    processes: Processes,
    *,
    is_alone: bool,
) -> Metrics:
    """Measure this process, in the running event loop, until the stack is closed; see Metrics."""
    app[METRICS] = metrics = Metrics(sources, processes, is_alone=is_alone)
    app[REQUEST_OBSERVER] = sources.requests
    metrics.lag.start()
    stack.callback(metrics.lag.stop)
    return metrics
