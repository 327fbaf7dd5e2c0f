"""What a broker carries from one node to another, and what a message costs the two."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from phoenix_compat.cluster.brokers.broker import Broker
from phoenix_compat.cluster.brokers.drivers.nats_broker import NatsBroker
from phoenix_compat.cluster.brokers.drivers.postgres_broker import PostgresBroker
from phoenix_compat.cluster.brokers.drivers.redis_broker import RedisBroker
from tests.benchmarks.benchmark import Benchmark, Measure, Sample
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.nodes.services import Service, nats, postgres, redis

_MESSAGES = 30_000
_BYTES = 300
_SUBJECT = "bench.all"
_BROKERS: dict[str, tuple[Service, Callable[[str], Broker]]] = {
    "PostgreSQL": (postgres, PostgresBroker),
    "Redis": (redis, RedisBroker),
    "NATS": (nats, NatsBroker),
}


def _through(service: Service, kind: Callable[[str], Broker]) -> Measure:
    def measure(context: BenchmarkContext) -> Sample:
        with service(context.new_folder()) as url:
            return asyncio.run(_flood(kind(url), kind(url), context.count(_MESSAGES)))

    return measure


async def _flood(publisher: Broker, subscriber: Broker, count: int) -> Sample:
    """Publish as fast as the queue takes it; both nodes are in this process."""
    heard, all_heard = 0, asyncio.Event()

    def hear(_subject: str, _data: bytes) -> None:
        nonlocal heard
        heard += 1
        if heard == count:
            all_heard.set()

    are_connected = [asyncio.Event(), asyncio.Event()]
    await asyncio.to_thread(publisher.load)
    runs = [
        asyncio.create_task(publisher.run(["bench.none"], hear, are_connected[0].set)),
        asyncio.create_task(subscriber.run([_SUBJECT], hear, are_connected[1].set)),
    ]
    await asyncio.gather(*(connected.wait() for connected in are_connected))
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(count):
        while not publisher.publish(_SUBJECT, bytes(_BYTES)):  # noqa: ASYNC110 - a full queue
            await asyncio.sleep(0.001)
    await all_heard.wait()
    passed_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    return Sample(count / passed_s, {"cpu_us_per_message": 1e6 * cpu_s / count})


THROUGHPUT = tuple(
    Benchmark(
        name=f"messages of {_BYTES} bytes from node to node through {name}",
        unit="/s",
        ours=_through(service, kind),
    )
    for name, (service, kind) in _BROKERS.items()
)
