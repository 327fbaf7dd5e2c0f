"""What authentication, caps and rates cost: CPU of the server, beside the same work without.

With `--against` an older checkout without them is the baseline, so that what everybody pays for
them is counted too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.benchmarks.benchmark import Benchmark, BenchmarkError, Measure, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads import task_client
from tests.benchmarks.loads.http_load import Request, http_load, request
from tests.benchmarks.loads.load import load
from tests.benchmarks.servers import Running, Safe, task_server

_CONNECTS = 2_000
_POSTS, _WARMUP, _CONNECTIONS = 5_000, 1_000, 100
_COST = Target(max_ratio=1.15)
_BODY = json.dumps({"input_data": {"type": "image", "prompt": "Medieval monk"}})
_KINDS = ("keys", "jwt")


@contextmanager
def _serve(context: BenchmarkContext, kind: str | None) -> Iterator[tuple[Running, str | None]]:
    if kind is None:
        with task_server(context) as server:
            yield server, None
    else:
        with Safe(kind).serve(context) as served:
            yield served


def _connects_us(kind: str | None) -> Measure:
    """The CPU time of a connect with a join; the process is warmed up with as many before."""

    def measure(context: BenchmarkContext) -> Sample:
        with _serve(context, kind) as (server, credential):
            task_id = task_client.post(server, credential)
            task_client.wait_until_ended(server, credential)  # its state is longer then
            path = "/socket/websocket?vsn=2.0.0"
            if credential is not None:
                path += f"&token={credential}"
            count = context.count(_CONNECTS)
            arguments = ["connect", "-n", count, "--path", path, "-t", f"task:{task_id}"]
            load(context, server, arguments)
            found = load(context, server, arguments)
        return Sample(_cpu_us(found), found)

    return measure


def _posts_us(kind: str | None) -> Measure:
    def measure(context: BenchmarkContext) -> Sample:
        with _serve(context, kind) as (server, credential):
            post = request("POST", "/api/tasks", _BODY, credential=credential)
            script = [[Request(post, 202, '"task_id"')]] * _CONNECTIONS
            counts = {"requests": context.count(_POSTS), "warmup": context.count(_WARMUP)}
            found = http_load(context, server, script, **counts)
        return Sample(_cpu_us(found), found)

    return measure


def _cpu_us(found: dict[str, object]) -> float:
    value = found.get("server_cpu_us_per_op")
    if not isinstance(value, int | float):
        raise BenchmarkError("the load generator does not tell the CPU time of the server")
    return float(value)


def _benchmarks(name: str, measure: Callable[[str | None], Measure]) -> Iterator[Benchmark]:
    """One for each kind of credential; a checkout without them is measured without, too."""
    without = measure(None)
    for kind in _KINDS:
        yield Benchmark(
            name=f"CPU of {name}, {kind}",
            unit="µs",
            ours=measure(kind),
            baseline=without,
            before=without,
            baseline_name="without auth and caps",
            target=_COST,
        )


SAFETY = (
    *_benchmarks("connect + join", _connects_us),
    *_benchmarks("POST /api/tasks with caps", _posts_us),
)
"""API keys and HS256, with caps and rates that count and are not reached."""
