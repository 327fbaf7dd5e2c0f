"""`conformance load` against servers that do everything right, and against those that do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from phoenix_compat import HandleResult, Socket, ok, on
from phoenix_compat.cli import cli
from phoenix_compat.cli.conformance.load import LOAD_KINDS as KINDS_OF_COMMAND
from phoenix_compat.conformance.load.generator import Generator
from phoenix_compat.conformance.load.plan import LOAD_KINDS, LoadPlan
from phoenix_compat.conformance.load.report import format_outcome, summarize
from phoenix_compat.conformance.load.run import LoadOutcome, LoadResult, run_load
from phoenix_compat.conformance.reference import RoomChannel, UserSocket, build_reference_app
from tests.conftest import Serve
from tests.patience import patient


async def load(*arguments: str | Path) -> Result:
    """Run the command in another thread."""
    words = ["conformance", "load", *map(str, arguments)]
    return await asyncio.to_thread(CliRunner().invoke, cli, words)


async def test_a_good_server_is_clean(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All echoes come back, and each broadcast to everyone of its topic."""
    # Whether this machine is quick enough for it is not what is tested.
    monkeypatch.setattr(Generator, "problem", None)
    url = await serve(build_reference_app())
    file = tmp_path / "load.json"

    finished = await load(
        *(url, "--connections", "7", "--per-topic", "3", "--rate", "100", "--for", "500ms"),
        *("--json", file),
    )

    assert finished.exit_code == 0, finished.output
    assert finished.stdout.startswith("7 of 7 connections joined, 3 to a topic; p50 ")
    assert finished.stdout.endswith("0 missing, 0 out of order, 0 duplicated, 0 altered\nclean\n")
    report = json.loads(file.read_text())
    sent, received = report["sent"], report["received"]
    assert sent["echo"] == received["echo"] > 0
    assert 2 * sent["broadcast"] < received["broadcast"] <= 3 * sent["broadcast"]
    latency = report["latency"]["echo"]
    assert latency["count"] == sum(count for _ms, count in latency["histogram"]) == sent["echo"]
    assert latency["p50_ms"] <= latency["p99_ms"] <= latency["max_ms"]
    assert report["result"] == report["summary"] == "clean"


class FaultyChannel(RoomChannel):
    """Answers the fourth echo of a client wrongly, in a way that a test chooses."""

    fault: Callable[[Any, Socket], HandleResult]

    @on("echo")
    def echo(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply with the payload, or otherwise."""
        return type(self).fault(payload, socket) if payload["n"] == 3 else ok(payload)

    @on("broadcast")
    def broadcast(self, payload: Any, socket: Socket) -> HandleResult:
        """Broadcast the third message twice, and the fourth one never."""
        if payload["n"] != 3:
            socket.broadcast("msg", payload)
        if payload["n"] == 2:
            socket.broadcast("msg", payload)
        return ok()


def stopping(_payload: Any, _socket: Socket) -> HandleResult:
    """Crash the channel."""
    raise RuntimeError("asked to crash")


async def faulty_outcome(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    fault: Callable[[Any, Socket], HandleResult] = lambda payload, _socket: ok(payload),
) -> LoadOutcome:
    """What is found of a server with a faulty channel, two clients, one topic."""
    monkeypatch.setattr(FaultyChannel, "fault", staticmethod(fault), raising=False)
    monkeypatch.setitem(UserSocket.channels, "room:*", FaultyChannel)
    monkeypatch.setattr(Generator, "problem", None)
    url = await serve(build_reference_app())
    plan = LoadPlan(url, connections=2, rate=40.0, for_s=0.5, kind=kind)
    return await run_load(plan, quiet_s=0.3)


@pytest.mark.parametrize(
    ("fault", "summary"),
    [
        (lambda _payload, _socket: None, "not clean: 2 missing"),
        (lambda payload, _socket: ok({**payload, "n": 1}), "not clean: 2 duplicated, 2 missing"),
        (lambda payload, _socket: ok({**payload, "pad": "y"}), "not clean: 2 altered"),
        (lambda _payload, _socket: ok([]), "not clean: 2 altered, 2 missing"),
        (stopping, "not clean: 2 disconnected"),
    ],
)
async def test_a_fault_is_named(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Any, Socket], HandleResult],
    summary: str,
) -> None:
    """One wrong answer of each client is enough, and is counted as what it is."""
    outcome = await faulty_outcome(serve, monkeypatch, "echo", fault)

    assert outcome.result is LoadResult.NOT_CLEAN
    assert summarize(outcome) == summary


async def test_faults_of_broadcasts_are_counted_for_each_receiver(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message that is sent twice and one that is lost, at two receivers each."""
    outcome = await faulty_outcome(serve, monkeypatch, "broadcast")

    assert summarize(outcome) == "not clean: 2 duplicated, 2 missing"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--for", "soon"), "'soon' is not a duration; write 30s, 10m or 1h"),
        (("--connections", "0"), "0 is not in the range"),
        (("--connections", "5"), "no Phoenix server answers at http://127.0.0.1:1"),
    ],
)
async def test_misuse_is_exit_code_2(words: tuple[str, ...], problem: str) -> None:
    """A wrong option or address is named before anything is sent."""
    finished = await load("http://127.0.0.1:1", *words)

    assert finished.exit_code == 2
    assert problem in " ".join(finished.stderr.split())


async def test_a_server_without_the_set_is_exit_code_2(serve: Serve) -> None:
    """It is said what is missing."""
    url = await serve(web.Application())

    finished = await load(url)

    assert finished.exit_code == 2
    assert f"{url} answers 404 at /socket/websocket" in finished.stderr


async def test_connections_that_are_refused_are_counted_by_reason(serve: Serve) -> None:
    """A server that no connection can join is not clean."""
    url = await serve(web.Application())

    outcome = await run_load(LoadPlan(url, connections=3, for_s=0.1))

    assert outcome.refused.total() == 3
    assert summarize(outcome) == "not clean: 3 not joined"
    assert any("  3 not joined: 404" in line for line in format_outcome(outcome, LoadPlan(url)))


async def deaf(request: web.Request) -> web.WebSocketResponse:
    """Answer the join, and read nothing more."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    join_ref, ref, topic, _event, _payload = await socket.receive_json()
    reply = {"status": "ok", "response": {"joined": topic}}
    await socket.send_json([join_ref, ref, topic, "phx_reply", reply])
    await request.app[RELEASED].wait()
    return socket


RELEASED = web.AppKey("released", asyncio.Event)


async def test_a_server_that_does_not_read_is_not_waited_for(serve: Serve) -> None:
    """What it holds back is counted, and the run ends all the same."""
    app = web.Application()
    app[RELEASED] = asyncio.Event()
    app.router.add_get("/socket/websocket", deaf)
    url = await serve(app)
    plan = LoadPlan(url, 1, rate=600.0, for_s=0.5, kind="echo", payload_bytes=60_000)

    async with asyncio.timeout(patient(20.0)):
        running = asyncio.create_task(run_load(plan, quiet_s=0.1))
        await asyncio.wait([running], timeout=patient(4.0))
        app[RELEASED].set()
        outcome = await running

    assert 0 < outcome.generator.sent < outcome.generator.planned
    assert outcome.missing == outcome.echoes_sent


def outcome_of(**values: Any) -> LoadOutcome:
    """What ten clients saw whose generator was too slow."""
    generator = Generator()
    generator.planned, generator.sent = 100, 50
    generator.loop_late.record(1.0)
    return LoadOutcome(joined=10, generator=generator, **values)


def test_a_slow_generator_is_not_the_servers_fault() -> None:
    """What a slow reader can cause is not judged; what it cannot cause is."""
    lost = outcome_of(missing=2)

    assert lost.result is LoadResult.NOT_JUDGED
    assert summarize(lost) == (
        "not judged, this program was the bottleneck: it sent only 50 % of the messages in time; "
        "2 missing, which may be its fault"
    )
    assert summarize(outcome_of(out_of_order=1, missing=2)) == (
        "not clean: 1 out of order, 2 missing"
    )


def test_a_limit_for_the_latency() -> None:
    """More than one message in a hundred above the limit is not clean."""
    outcome = LoadOutcome(joined=1, max_p99_s=0.1)
    outcome.generator.sent = outcome.generator.planned = 100
    for number in range(100):
        outcome.echo_latency.record(0.05 if number < 98 else 0.2)

    assert summarize(outcome) == "not clean: more than 1 % took longer than the limit"
    outcome.max_p99_s = 0.3
    assert summarize(outcome) == "clean"


def test_the_kinds_are_those_of_the_plan() -> None:
    """The command names them without importing the plan."""
    assert KINDS_OF_COMMAND == LOAD_KINDS
