"""Round trips over long-polling: a POST with a message, and a GET for the reply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from tests.benchmarks.benchmark import Benchmark, Sample
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.http_client import fetch_json
from tests.benchmarks.loads.http_load import Request, http_load, request
from tests.benchmarks.servers import Running, comparison_app, reference_set

_SESSIONS = 50
_TRIPS, _WARMUP = 5_000, 500
_TARGET = "/socket/longpoll?vsn=2.0.0"
_NDJSON = "application/x-ndjson"


def trips_per_second(context: BenchmarkContext) -> Sample:
    """Echoes of 50 sessions, each on its own connection."""
    with reference_set(context) as server:
        return _trips(context, server, [_session(server) for _ in range(_SESSIONS)])


def bare_trips_per_second(context: BenchmarkContext) -> Sample:
    """The same requests to aiohttp, which answers with a constant."""
    with comparison_app("bare")(context) as server:
        return _trips(context, server, [_echo("x" * 80, "status") for _ in range(_SESSIONS)])


def _trips(
    context: BenchmarkContext, server: Running, sessions: Sequence[Sequence[Request]]
) -> Sample:
    counts = {"requests": 2 * context.count(_TRIPS), "warmup": 2 * context.count(_WARMUP)}
    found = http_load(context, server, sessions, **counts)
    return Sample(float(found["ops_per_s"]) / 2, found)


def _session(server: Running) -> Sequence[Request]:
    """Open a session and join a topic. Returns the requests of one echo."""
    token = quote(fetch_json(server, _TARGET)["token"], safe="")
    target = f"{_TARGET}&token={token}"
    fetch_json(server, target, ["1", "1", "room:lp", "phx_join", {}], content_type=_NDJSON)
    fetch_json(server, target)
    return _echo(token, "phx_reply")


def _echo(token: str, expect: str) -> Sequence[Request]:
    target = f"{_TARGET}&token={token}"
    echo = json.dumps(["1", "2", "room:lp", "echo", {"p": "x" * 32}])
    return (
        Request(request("POST", target, echo, content_type=_NDJSON), 200, "status"),
        Request(request("GET", target), 200, expect),
    )


LONG_POLL = (
    Benchmark(
        name="long-poll echo, 50 sessions",
        unit="/s",
        ours=trips_per_second,
        baseline=bare_trips_per_second,
        baseline_name="bare aiohttp, 2 requests",
    ),
)
