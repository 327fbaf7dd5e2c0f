"""Round trips over long-polling: a POST that asks, a GET that takes the reply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from tests.benchmarks.loads.http_client import asked
from tests.benchmarks.loads.http_load import Request, http_load, request
from tests.benchmarks.rig import Rig
from tests.benchmarks.servers import Running, bench_app, reference_set
from tests.benchmarks.work import Sample, Work

_SESSIONS = 50
_TRIPS, _WARMUP = 5_000, 500
_TARGET = "/socket/longpoll?vsn=2.0.0"
_NDJSON = "application/x-ndjson"


def trips_a_second(rig: Rig) -> Sample:
    """Echoes of 50 sessions, each with a connection of its own."""
    with reference_set(rig) as server:
        return _trips(rig, server, [_session(server) for _ in range(_SESSIONS)])


def bare_trips_a_second(rig: Rig) -> Sample:
    """The same requests, answered by aiohttp with a constant."""
    with bench_app("bare")(rig) as server:
        return _trips(rig, server, [_echo("x" * 80, "status") for _ in range(_SESSIONS)])


def _trips(rig: Rig, server: Running, sessions: Sequence[Sequence[Request]]) -> Sample:
    counts = {"requests": 2 * rig.count(_TRIPS), "warmup": 2 * rig.count(_WARMUP)}
    found = http_load(rig, server, sessions, **counts)
    return Sample(float(found["ops_per_s"]) / 2, found)


def _session(server: Running) -> Sequence[Request]:
    """Open a session and join a topic; the requests of its echoes."""
    token = quote(asked(server, _TARGET)["token"], safe="")
    target = f"{_TARGET}&token={token}"
    asked(server, target, ["1", "1", "room:lp", "phx_join", {}], content_type=_NDJSON)
    asked(server, target)
    return _echo(token, "phx_reply")


def _echo(token: str, expect: str) -> Sequence[Request]:
    target = f"{_TARGET}&token={token}"
    echo = json.dumps(["1", "2", "room:lp", "echo", {"p": "x" * 32}])
    return (
        Request(request("POST", target, echo, content_type=_NDJSON), 200, "status"),
        Request(request("GET", target), 200, expect),
    )


LONG_POLL = (
    Work(
        name="long-poll echo, 50 sessions",
        unit="/s",
        ours=trips_a_second,
        ruler=bare_trips_a_second,
        ruler_name="bare aiohttp, 2 requests",
    ),
)
