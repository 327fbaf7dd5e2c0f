"""POST /api/tasks: what the durable commit costs, beside the same handler on a store of nothing."""

from __future__ import annotations

import json

from tests.benchmarks.loads.http_load import Request, http_load, request
from tests.benchmarks.rig import Rig
from tests.benchmarks.servers import Serve, bench_app, task_server
from tests.benchmarks.work import Sample, Target, Work

_CONNECTIONS = 100
_POSTS, _WARMUP = 7_000, 1_000
"""Fewer than the 10 000 that may wait in the queue."""


def _order(number: int) -> Request:
    prompt = f"Medieval monk number {number}, copying a manuscript by candlelight"
    body = json.dumps({"input_data": {"type": "image", "prompt": prompt, "aspect_ratio": "16:9"}})
    return Request(request("POST", "/api/tasks", body), 202, '"task_id"')


def _posts(name: str, serve: Serve, target: Target | None = None) -> Work:
    def measure(rig: Rig, serve: Serve) -> Sample:
        script = [[_order(number)] for number in range(_CONNECTIONS)]
        counts = {"requests": rig.count(_POSTS), "warmup": rig.count(_WARMUP)}
        with serve(rig) as server:
            found = http_load(rig, server, script, **counts)
        return Sample(float(found["ops_per_s"]), found)

    return Work(
        name=name,
        unit="/s",
        ours=lambda rig: measure(rig, serve),
        ruler=lambda rig: measure(rig, bench_app("storeless")),
        ruler_name="same handler, no store",
        target=target,
    )


POSTS = (
    _posts("POST /api/tasks, durable", bench_app("tasks"), Target(min_ratio=0.5)),
    _posts("POST /api/tasks, worker at work", task_server, Target(min_ratio=0.5)),
)
"""The handler alone; and the whole product, whose worker and emulator share the core."""
