"""The suite beside a slow server: right answers pass however late they are, and silence fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from phoenix_compat.conformance.suite import connections, conversation
from phoenix_compat.conformance.suite import pace as pace_module
from phoenix_compat.conformance.suite.catalog import load_suite, select
from phoenix_compat.conformance.suite.pace import Pace
from phoenix_compat.conformance.suite.runner import QUIET_S, run_case, run_cases
from tests.conformance.suite.fake_server import WELCOME, FakeServer
from tests.patience import patient

LATE_S = 0.4
CASES = [
    case
    for case in select(load_suite(), only=["join/ok", "leave", "heartbeat"])
    if len(case.steps) <= 3
]
[ENDED] = select(load_suite(transports=["longpoll"]), only=["end/disconnect/self"])


async def forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float
) -> None:
    """Pass on everything, each part so late."""
    arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        data = b"."
        while data:
            data = b""  # the end, if the connection is reset
            with suppress(ConnectionError):
                data = await reader.read(65_536)
            arrived.put_nowait((time.monotonic() + late_s, data))

    reading = asyncio.create_task(read())
    with suppress(ConnectionError):
        while (part := await arrived.get())[1]:
            await asyncio.sleep(max(part[0] - time.monotonic(), 0.0))
            writer.write(part[1])
            await writer.drain()
    reading.cancel()
    writer.close()


@asynccontextmanager
async def late(base_url: str) -> AsyncIterator[str]:
    """The same server, with every answer `LATE_S` late."""
    url = urlsplit(base_url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(url.hostname, url.port)
        await asyncio.gather(forward(reader, requests, 0.0), forward(answers, writer, LATE_S))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


async def test_a_server_whose_answers_are_late_passes(reference_url: str) -> None:
    """Answers that are later than the quiet time are right, over both transports."""
    pace = Pace()
    async with late(reference_url) as base_url:
        results = await run_cases(CASES, base_url, pace=pace)

    assert {result.case.transport for result in results} == {"websocket", "longpoll"}
    assert not [result.explain() for result in results if not result.passed]
    assert pace.highest * QUIET_S > 2 * LATE_S


async def test_the_end_of_a_session_that_a_probe_finds_is_not_waited_for(
    reference_url: str,
) -> None:
    """A long-poll session that ended between two polls is found after the quiet time."""
    quiet_s = 0.5

    result = await run_case(ENDED, reference_url, quiet_s=quiet_s)

    assert result.passed, result.explain()
    assert result.took_s < 8 * quiet_s


@pytest.mark.parametrize("response", [WELCOME, b""], ids=["opens", "opens-nothing"])
async def test_a_server_that_never_answers_fails_in_time(
    response: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each case waits for one lost answer, and fails."""
    monkeypatch.setattr(pace_module, "_HEARTBEATS_LIMIT_S", 0.2)
    for module in (connections, conversation):
        monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.2)
    cases = [case for case in CASES if case.transport == "websocket"][:3]

    async with FakeServer(responses=(response,)).run() as base_url, asyncio.timeout(patient(10.0)):
        results = await run_cases(cases, base_url, quiet_s=0.05)

    assert not [result.case.key for result in results if result.passed]
