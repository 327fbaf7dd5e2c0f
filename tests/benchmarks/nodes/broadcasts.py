"""How long a broadcast takes to a client of another node, and what the bus costs the publisher."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tests.benchmarks.benchmark import Benchmark, BenchmarkError, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.load import load
from tests.benchmarks.machine import raise_open_file_limit
from tests.benchmarks.nodes.services import Service, nats, postgres, redis
from tests.benchmarks.servers import Running, free_port, running
from tests.wire import PhoenixWire

TOPIC = "room:bench"
_BROADCASTS = 1_000
_WARMUP = 50
_EVERY_S = 0.005
_SUBSCRIBERS = 1_000
_FANOUTS = 600
_BUSES: dict[str, Service] = {"PostgreSQL": postgres, "Redis": redis, "NATS": nats}
_MAX_MS = {"PostgreSQL": 6.0, "Redis": 3.0, "NATS": 3.0}


@contextmanager
def node(bus_url: str | None = None) -> Iterator[Running]:
    """One node, alone or on a bus."""
    port = free_port()
    arguments = [str(port)] if bus_url is None else [str(port), bus_url]
    command = [sys.executable, "-m", "tests.benchmarks.nodes.broadcast_node", *arguments]
    with running(command, port) as server:
        yield server


def _to_another_node(service: Service) -> Callable[[BenchmarkContext], Sample]:
    def measure(context: BenchmarkContext) -> Sample:
        with ExitStack() as stack:
            url = stack.enter_context(service(context.new_folder()))
            nodes = [stack.enter_context(node(url)) for _ in range(2)]
            return asyncio.run(_latency(nodes[0], nodes[1], context.count(_BROADCASTS)))

    return measure


def _on_one_node(context: BenchmarkContext) -> Sample:
    with node() as one:
        return asyncio.run(_latency(one, one, context.count(_BROADCASTS)))


async def _latency(publishing: Running, hearing: Running, count: int) -> Sample:
    """The median in ms of broadcasts at a constant rate, from the push to the client that hears."""
    sender = await PhoenixWire.open(f"http://127.0.0.1:{publishing.port}")
    listener = await PhoenixWire.open(f"http://127.0.0.1:{hearing.port}")
    sent_s: dict[int, float] = {}
    took_ms: list[float] = []
    total = count + _WARMUP

    async def listen() -> None:
        while len(took_ms) < total:
            _, _, _, event, payload = await listener.recv()
            if event == "msg":
                took_ms.append((time.perf_counter() - sent_s[payload["n"]]) * 1_000)

    await asyncio.gather(sender.join(TOPIC), listener.join(TOPIC))
    listening = asyncio.create_task(listen())
    begin_s = time.perf_counter()
    for number in range(total):
        sent_s[number] = time.perf_counter()
        await sender.send(["1", str(number), TOPIC, "broadcast_from", {"n": number}])
        await asyncio.sleep(max(begin_s + (number + 1) * _EVERY_S - time.perf_counter(), 0))
    try:
        await listening
    except TimeoutError:
        raise BenchmarkError(f"{total - len(took_ms)} broadcasts of {total} were lost") from None
    await asyncio.gather(sender.close(), listener.close())
    took = sorted(took_ms[_WARMUP:])
    detail = {"p99_ms": round(took[len(took) * 99 // 100], 3), "max_ms": round(took[-1], 3)}
    return Sample(statistics.median(took), detail)


def _fanout(service: Service | None) -> Callable[[BenchmarkContext], Sample]:
    """Broadcasts to 1 000 clients of the node that publishes.

    What counts is the processor time of the node, for the broker and the clients share the machine.
    Other nodes would too, so there are none; to the publisher that makes no difference, because the
    broker passes messages on.
    """

    def measure(context: BenchmarkContext) -> Sample:
        raise_open_file_limit(_SUBSCRIBERS + 500)
        flow = ["-w", 4, "-m", max(context.count(_FANOUTS), 8)]
        with ExitStack() as stack:
            url = None if service is None else stack.enter_context(service(context.new_folder()))
            publishing = stack.enter_context(node(url))
            found = load(context, publishing, ["fanout", "-n", _SUBSCRIBERS, *flow])
        return Sample(found["ops"] / found["server_cpu_s"], found)

    return measure


def _latencies() -> Iterator[Benchmark]:
    for name, service in _BUSES.items():
        yield Benchmark(
            name=f"broadcast to another node over {name}, median",
            unit="ms",
            ours=_to_another_node(service),
            baseline=_on_one_node,
            baseline_name="the same node",
            target=Target(max_value=_MAX_MS[name]),
            digits=2,
        )


def _fanouts() -> Iterator[Benchmark]:
    for name, service in _BUSES.items():
        yield Benchmark(
            name=f"fan-out 1 → 1 000 on the publishing node, bus over {name}",
            unit="msg per CPU second",
            ours=_fanout(service),
            baseline=_fanout(None),
            baseline_name="no bus",
            target=Target(min_ratio=0.95),
        )


BROADCASTS = (*_latencies(), *_fanouts())
