"""The benchmarks run, with small numbers, real servers and real load. Speed is not tested."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from typing import Any

import pytest

from phoenix_compat import HandleResult, Socket, ok, on
from phoenix_compat.conformance.reference import build_reference_app
from tests.benchmarks.__main__ import main
from tests.benchmarks.benchmark import BenchmarkError
from tests.benchmarks.loads import pipelined
from tests.benchmarks.tools import DEFAULT_FOLDER
from tests.integration.echo_app import OpenChannel
from tests.serving import accepting, serving, socket_app

SOURCES = DEFAULT_FOLDER / "phxload.c"

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
    pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed"),
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="load and server need a core each"),
]


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    """The JSON lines of a quick run, which must also print a table."""
    main([*arguments, "--quick"])
    lines, _, table = capsys.readouterr().out.partition("\n\n")
    assert table.startswith("| benchmark")
    return [json.loads(line) for line in lines.splitlines()]


def test_posts_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """The load generator posts tasks to both servers, and each response is a 202."""
    ours, ruler = measured(capsys, "posts", "--only", "durable")

    assert (ours["side"], ruler["side"]) == ("ours", "same handler, no store")
    assert ours["detail"]["ops"] == ruler["detail"]["ops"] == 699
    assert min(ours["value"], ruler["value"]) > 0


def test_commits_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """200 callers share commits on one side, and do not on the other."""
    ours, ruler = measured(capsys, "commits", "--only", "200")

    assert ours["detail"]["writes_per_commit"] > 100
    assert ruler["detail"]["writes_per_commit"] == 1


@pytest.mark.skipif(not SOURCES.is_file(), reason="there is no folder with phxload.c")
def test_sockets_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """The load generator checks each message of a fan-out, of our server and of the C server."""
    ours, ruler = measured(capsys, "core", "--only", "1 000, 4 in flight")

    assert (ours["side"], ruler["side"]) == ("ours", "C server")
    assert ours["detail"]["conns"] == 1_000
    assert ours["detail"]["other_frames"] == 0
    assert min(ours["value"], ruler["value"]) > 0


async def load(base_url: str) -> dict[str, Any]:
    """Send pipelined echoes for a tenth of a second."""
    port = int(base_url.rpartition(":")[2])
    return await asyncio.to_thread(pipelined.run, port, connections=3, depth=8, seconds=0.1)


async def test_pipelined_echoes_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipelined load counts whole rounds of echoes."""
    monkeypatch.setattr(pipelined, "_WARMUP_S", 0.0)

    async with serving(build_reference_app()) as base_url:
        found = await load(base_url)

    assert found["ops"] > 0
    assert found["ops"] % 8 == 0


class WrongEchoChannel(OpenChannel):
    """Replies to an echo with another text of the same length."""

    @on("echo")
    def echo(self, _payload: Any, _socket: Socket) -> HandleResult:
        """Reply ok with another text."""
        return ok({"filler": "y" * 32})


async def test_a_wrong_echo_ends_the_load() -> None:
    """A server that replies wrongly is not measured."""
    app = socket_app(accepting({"room:*": WrongEchoChannel}))

    async with serving(app) as base_url:
        with pytest.raises(BenchmarkError, match="the server answered"):
            await load(base_url)
