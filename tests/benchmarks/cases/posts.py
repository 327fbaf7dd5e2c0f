"""POST /api/tasks: the cost of the durable commit, compared to a store that stores nothing."""

from __future__ import annotations

import json

from tests.benchmarks.benchmark import Benchmark, Sample, Target
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.http_load import Request, http_load, request
from tests.benchmarks.servers import Serve, comparison_app, task_server

_CONNECTIONS = 100
_POSTS, _WARMUP = 7_000, 1_000
"""Fewer than the 10 000 tasks that may be queued."""


def _post(number: int) -> Request:
    prompt = f"Medieval monk number {number}, copying a manuscript by candlelight"
    body = json.dumps({"input_data": {"type": "image", "prompt": prompt, "aspect_ratio": "16:9"}})
    return Request(request("POST", "/api/tasks", body), 202, '"task_id"')


def _posts(name: str, serve: Serve, target: Target | None = None) -> Benchmark:
    def measure(context: BenchmarkContext, serve: Serve) -> Sample:
        script = [[_post(number)] for number in range(_CONNECTIONS)]
        counts = {"requests": context.count(_POSTS), "warmup": context.count(_WARMUP)}
        with serve(context) as server:
            found = http_load(context, server, script, **counts)
        return Sample(float(found["ops_per_s"]), found)

    return Benchmark(
        name=name,
        unit="/s",
        ours=lambda context: measure(context, serve),
        baseline=lambda context: measure(context, comparison_app("no_store")),
        baseline_name="same handler, no store",
        target=target,
    )


POSTS = (
    _posts("POST /api/tasks, durable", comparison_app("tasks"), Target(min_ratio=0.5)),
    _posts("POST /api/tasks, with the worker", task_server, Target(min_ratio=0.5)),
)
"""The handler alone, and the whole task server, whose worker and emulator share the core."""
