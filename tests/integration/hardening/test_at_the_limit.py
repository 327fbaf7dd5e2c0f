"""More clients than descriptors: the server goes on answering, and recovers when they leave."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.hardening.crowd import (
    ROOM,
    Crowd,
    Limited,
    limited_server,
    many_descriptors,
)
from tests.integration.task_server import Client
from tests.patience import patient
from tests.wire import V2

CROWD = 1_000
WEBSOCKETS = 60
HEALTH_S = 5.0
"""A busy machine takes its time; undisturbed it is milliseconds."""
BACK_S = 5.0
STOP_S = 20.0
LOOKS = 100

PROCESSES = pytest.mark.parametrize(
    ("loop", "workers"), [("asyncio", 1), ("uvloop", 1), ("asyncio", 2)]
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    with many_descriptors():
        yield


def serve(folder: Path, *more: str) -> tuple[str, ...]:
    """The command line of a server with its data in the folder."""
    return (
        *(sys.executable, "-m", "phoenix_compat", "serve"),
        *("--port", "0", "--data-dir", str(folder), *more),
    )


async def looks(server: Limited, count: int = LOOKS) -> list[float]:
    """Ask /healthz so often, one after the other; the times of the answers, which must be 200."""
    times = []
    for _ in range(count):
        began_s = time.monotonic()
        status, _ = await server.health(HEALTH_S)
        times.append(time.monotonic() - began_s)
        assert status == 200
    return sorted(times)


async def works_again(server: Limited, began_s: float) -> float:
    """When a new task completes, heard over a new websocket; in seconds since `began_s`."""
    async with aiohttp.ClientSession() as http:
        client = Client(server.url, http)
        watch = None
        while watch is None:
            try:
                watch = await client.watch(await client.post())
            except (AssertionError, OSError, aiohttp.ClientError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.05)
            assert time.monotonic() - began_s < BACK_S, "not back in time"
        back_s = time.monotonic() - began_s
        assert (await watch.to_the_end())[-1]["status"] == "completed"
    return back_s


async def bus_losses(server: Limited, workers: int) -> dict[int, tuple[int, int]]:
    """What the bus of each process has dropped and missed, by node, once all are connected."""
    losses: dict[int, tuple[int, int]] = {}
    async with asyncio.timeout(STOP_S):
        while workers > 1 and len(losses) < workers:
            _, health = await server.health()
            if health["bus"]["connects"] >= workers - 1:
                losses[health["node"]] = (health["bus"]["dropped"], health["bus"]["gaps"])
    return losses


async def full_house(server: Limited, websockets: int) -> Crowd:
    """The crowd, whose websockets watch a task."""
    async with aiohttp.ClientSession() as http:
        task_id = await Client(server.url, http).post()
    return await Crowd.gather(server.url, CROWD, websockets, f"task:{task_id}")


@PROCESSES
async def test_a_crowd_beyond_the_limit_is_survived(
    tmp_path: Path, loop: str, workers: int
) -> None:
    """/healthz answers throughout, the log stays quiet, and it works again soon after they left."""
    began_s = time.monotonic()
    async with limited_server(
        *serve(tmp_path, "--workers", str(workers)),
        PHOENIX_COMPAT_LOOP=loop,
        PHOENIX_COMPAT_EMULATOR_SPEED="50",
    ) as server:
        # While the processes start, what one sends before the other is there counts as dropped.
        losses = await bus_losses(server, workers)
        crowd = await full_house(server, WEBSOCKETS // workers)
        try:
            await looks(server)
            head, _, body = (await server.ask("GET", "/api/tasks")).partition(b"\r\n\r\n")
        finally:
            left_s = time.monotonic()
            await crowd.leave()
        await works_again(server, left_s)
        asked_s = time.monotonic() - began_s
        losses_after = await bus_losses(server, workers)
        lines = server.log_lines

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in head
    assert json.loads(body)["type"] == "urn:phoenix-compat:problem:too-many-connections"
    assert losses_after == losses
    told = [line for line in lines if "connections." in line]
    assert 1 <= len(told) <= workers * (1 + asked_s)
    assert not [line for line in lines if "Traceback" in line or "Error" in line]


@PROCESSES
async def test_a_stop_at_the_limit_is_as_short_as_ever(
    tmp_path: Path, loop: str, workers: int
) -> None:
    """SIGTERM with the crowd still there, and /healthz answered: it ends in time, exit code 0."""
    async with limited_server(
        *serve(tmp_path, "--workers", str(workers)), PHOENIX_COMPAT_LOOP=loop
    ) as server:
        crowd = await full_house(server, WEBSOCKETS // workers)
        try:
            await looks(server, 5)
            took_s = await server.stop()
        finally:
            await crowd.leave()

    assert server.process.returncode == 0
    assert took_s < STOP_S


async def test_those_who_are_in_work_on_with_all_places_taken(tmp_path: Path) -> None:
    """A task is made, watched and its file fetched, which all need descriptors of their own."""
    async with (
        limited_server(
            *serve(tmp_path),
            PHOENIX_COMPAT_EMULATOR_SPEED="50",
            PHOENIX_COMPAT_INSECURE_NO_AUTH="true",
            PUBLIC_URL="http://pictures.example",
        ) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http,
    ):
        client = Client(server.url, http)
        await client.request("GET", "/healthz")
        async with aiohttp.ClientSession() as other, other.ws_connect(server.url + V2) as wire:
            crowd = await Crowd.gather(server.url, ROOM + 50)
            try:
                task_id = await client.post()
                await wire.send_json(["1", "1", f"task:{task_id}", "phx_join", {}])
                heard = [(await wire.receive_json(timeout=patient(20.0)))[4]]
                while heard[-1].get("status") != "completed":
                    heard.append((await wire.receive_json(timeout=patient(20.0)))[4])
                path = heard[-1]["result_data"]["image_url"].removeprefix("http://pictures.example")
                async with http.get(server.url + path) as answer:
                    picture = await answer.read()
                _, health = await server.health()
            finally:
                await crowd.leave()

    assert health["connections"]["open"] == health["connections"]["max"] == ROOM
    assert picture.startswith(b"\xff\xd8")


EATER = """
import asyncio, os, signal, sys
from phoenix_compat.server.process.logs import configure_logs
from phoenix_compat.server.process.listening import run, serve_until_signal
from phoenix_compat.conformance.reference import open_reference_app

taken = []

def take():
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        print("taken", flush=True)

def give_back():
    while taken:
        os.close(taken.pop())

def started(url):
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, take)
    loop.add_signal_handler(signal.SIGUSR2, give_back)
    print(url, flush=True)

configure_logs("info", "console")
serving = serve_until_signal(open_reference_app(), "127.0.0.1", 0, started)
run(serving, sys.argv[1])
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_without_any_descriptor_it_waits_and_comes_back(loop: str) -> None:
    """Somebody is told so with the spare one; the log stays quiet; afterwards all are served."""
    async with limited_server(sys.executable, "-c", EATER, loop) as server:
        assert server.process.stdout is not None
        server.process.send_signal(signal.SIGUSR1)
        assert await server.process.stdout.readline() == b"taken\n"
        asked_s = time.monotonic()

        told = await server.ask("GET", "/nothing")
        status, _ = await server.health()
        waiting = [asyncio.create_task(server.ask("GET", "/nothing")) for _ in range(30)]
        answers = [await next(asyncio.as_completed(waiting))]
        server.process.send_signal(signal.SIGUSR2)
        began_s = time.monotonic()
        answers += await asyncio.gather(*waiting)
        back_s = time.monotonic() - began_s
        after = await server.ask("GET", "/nothing")
        lines = server.log_lines

    assert told.startswith(b"HTTP/1.1 503 ")
    assert status == 200
    assert {answer.split()[1] for answer in answers} <= {b"503", b"404"}
    assert back_s < BACK_S
    assert after.startswith(b"HTTP/1.1 404 ")
    assert "connections.not_accepted" in lines[0]
    assert all("[warning" in line for line in lines)
    assert len(lines) <= 1 + time.monotonic() - asked_s
