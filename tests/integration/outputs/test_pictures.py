"""Pictures that are ready before the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from phoenix_compat.emulator import Emulator, EmulatorSettings
from tests.integration.multiprocess.multiprocess_harness import MultiprocessServer
from tests.integration.multiprocess.test_workers_tasks import tasks
from tests.integration.outputs.test_text_processes import created, move
from tests.integration.task_server import Client, product, settings_for
from tests.patience import patient
from tests.wire import PhoenixWire

SERIES = {"model": "emulated/picture-series", "num_outputs": 4}
PARTIAL = {"partial": True}


async def events(
    wire: PhoenixWire, count: int | None = None
) -> list[tuple[str, Mapping[str, Any]]]:
    """The next events of a task's client; None for all up to the end."""
    received: list[tuple[str, Mapping[str, Any]]] = []
    while len(received) != count:
        async with asyncio.timeout(patient(30.0)):
            frame = await wire.recv_frame(30.0)
        event, payload = json.loads(frame.text)[3:]
        received.append((event, payload))
        if payload.get("status") in {"completed", "failed"}:
            break
    return received


async def until_output(wire: PhoenixWire, seq: int) -> list[Mapping[str, Any]]:
    """The payloads of `output` until there are this many files."""
    received: list[Mapping[str, Any]] = []
    while not received or received[-1]["seq"] < seq:
        [(event, payload)] = await events(wire, 1)
        if event == "output":
            received.append(payload)
    return received


@asynccontextmanager
async def stopped_models(
    folder: Path, size: int = 2
) -> AsyncIterator[tuple[MultiprocessServer, Emulator, str]]:
    """A server whose models stand still, and a task of four pictures that has begun."""
    async with Emulator(EmulatorSettings(speed=1.0)) as emulator:
        emulator.state.clock.scale(0.0)
        async with tasks(
            folder,
            size=size,
            REPLICATE_API_TOKEN="r8_test",
            REPLICATE_BASE_URL=emulator.base_url,
            PHOENIX_COMPAT_FILE_HOSTS=f'["{emulator.origin}"]',
        ) as processes:
            body = {"input_data": {"type": "image", "prompt": "monks", **SERIES}}
            _, answer = await processes.request(0, "POST", "/api/tasks", body)
            await created(emulator)
            yield processes, emulator, answer["task_id"]


async def test_clients_that_ask_get_each_picture_as_it_is_kept(tmp_path: Path) -> None:
    """In every process, in order, from the server's own copies; a late one gets all so far."""
    async with stopped_models(tmp_path) as (processes, emulator, task_id):
        wires = [await processes.wire(node) for node in (0, 1)]
        for wire in wires:
            await wire.join(f"task:{task_id}", payload=PARTIAL)
        move(emulator, 0.3)
        first = [await until_output(wire, 1) for wire in wires]
        move(emulator, 0.8)
        second = [await until_output(wire, 3) for wire in wires]
        late = await processes.wire(1)
        await late.join(f"task:{task_id}", payload=PARTIAL)
        [(_, _), (event, whole)] = await events(late, 2)
        move(emulator, 1.1)
        (_, end) = (await events(late))[-1]

        assert first[0] == first[1]
        assert [len(payload["urls"]) for payload in first[0]] == [1]
        urls = [url for payload in (*first[0], *second[0]) for url in payload["urls"]]
        assert (event, whole) == ("output", {"task_id": task_id, "seq": 3, "urls": urls})
        assert end["result_data"]["image_urls"][:3] == urls
        assert len(end["result_data"]["image_urls"]) == 4
        async with aiohttp.ClientSession() as http, http.get(urls[0]) as answer:
            assert (answer.status, answer.content_type) == (200, "image/png")
        assert emulator.state.counts["downloads"] == 4


async def test_other_clients_get_nothing_new(tmp_path: Path) -> None:
    """`progress` alone, with the keys that it always had."""
    async with stopped_models(tmp_path, size=1) as (processes, emulator, task_id):
        unmodified, asking = await processes.wire(0), await processes.wire(0)
        await unmodified.join(f"task:{task_id}")
        await asking.join(f"task:{task_id}", payload=PARTIAL)
        move(emulator, 0.8)
        await until_output(asking, 3)
        move(emulator, 1.1)

        received = await events(unmodified)

        assert {event for event, _ in received} == {"progress"}
        assert {tuple(payload) for _, payload in received[:-1]} == {
            ("task_id", "progress", "status", "timestamp")
        }
        assert received[-1][1]["status"] == "completed"


async def test_a_file_that_cannot_be_kept_comes_with_the_result(tmp_path: Path) -> None:
    """The first download fails; it is tried again at the end, and the task completes."""
    async with product(settings_for(tmp_path, emulator_speed=4.0)) as client:
        task_id = await client.post("monks #fault:file_404x2", **SERIES)

        end = await client.ended(task_id)

        assert end["status"] == "completed"
        assert len(end["result_data"]["image_urls"]) == 4
        await check_is_own(client, end)


async def check_is_own(client: Client, end: Mapping[str, Any]) -> None:
    """Most links lead to this server's copies."""
    own = [url for url in end["result_data"]["image_urls"] if url.startswith(client.url)]
    assert len(own) >= 2
