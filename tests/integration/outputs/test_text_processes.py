"""Texts while they are written: with several processes, slow clients, and kills."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.emulator.predictions.run_output import text_chunks
from tests.faults.server_process import ServerProcess
from tests.integration.multiprocess.test_workers_tasks import tasks
from tests.integration.outputs.text_client import TextClient
from tests.patience import patient

PROMPT = "#fault:output_many_tokens"
TEXT_TASK = {"input_data": {"type": "text", "prompt": PROMPT}}


def move(emulator: Emulator, fraction: float) -> None:
    """Let the only prediction reach this fraction of its run; its clock is stopped."""
    [prediction] = emulator.state.predictions
    at_s = prediction.starts_at_s + fraction * prediction.schedule.run_s
    emulator.state.clock.advance(max(at_s - emulator.state.clock.now_s(), 0.0))


async def created(emulator: Emulator) -> str:
    """Wait until the emulator has a prediction; returns the whole text that it will write."""
    async with asyncio.timeout(patient(20.0)):
        while not len(emulator.state.predictions):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
    [prediction] = emulator.state.predictions
    return "".join(text_chunks(prediction))


async def test_a_kill_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """The text so far is read again after the restart; the client that rejoins gets all of it."""
    async with (
        Emulator(EmulatorSettings(speed=1.0)) as emulator,
        aiohttp.ClientSession() as http,
    ):
        emulator.state.clock.scale(0.0)
        server = ServerProcess(
            tmp_path,
            {"REPLICATE_API_TOKEN": "r8_test", "REPLICATE_BASE_URL": emulator.base_url},
        )
        await server.start()
        await server.ready(http)
        async with http.post(f"{server.url}/api/tasks", json=TEXT_TASK) as answer:
            client = TextClient(server.url, (await answer.json())["task_id"])
        await client.join()
        whole = await created(emulator)
        move(emulator, 0.4)
        await client.until(len(whole) // 3)
        half = client.shown.text

        await server.kill()
        await client.leave()
        move(emulator, 0.6)
        await server.start()
        await server.ready(http)
        await client.join()
        await client.until(len(half) + 1)
        again = client.shown.text
        move(emulator, 1.1)
        shown = await client.to_the_end()
        await server.kill()

        assert whole.startswith(half)
        assert whole.startswith(again)
        assert shown.text == shown.result == whole
        assert emulator.state.counts["created"] == 1


@pytest.mark.parametrize("is_killed", [False, True])
async def test_every_process_shows_the_text(tmp_path: Path, *, is_killed: bool) -> None:
    """Also clients of one process, after the other one that read the stream was killed."""
    async with Emulator(EmulatorSettings(speed=1.0)) as emulator:
        emulator.state.clock.scale(0.0)
        async with tasks(
            tmp_path,
            REPLICATE_API_TOKEN="r8_test",
            REPLICATE_BASE_URL=emulator.base_url,
            PHOENIX_COMPAT_FILE_HOSTS=f'["{emulator.origin}"]',
        ) as processes:
            _, answer = await processes.request(0, "POST", "/api/tasks", TEXT_TASK)
            clients = [TextClient(processes.url, answer["task_id"]) for _ in range(2)]
            for node, client in enumerate(clients):
                await client.join(await processes.wire(node))
            whole = await created(emulator)
            move(emulator, 0.4)
            for client in clients:
                await client.until(len(whole) // 3)
            late = TextClient(processes.url, answer["task_id"])
            leader = await processes.leader()
            await late.join(await processes.wire(1 - leader))
            await late.until(len(whole) // 3)
            events = len(late.shown.events)
            survivors = [late, clients[1 - leader]]
            if is_killed:
                await processes.kill(leader)
            else:
                survivors.append(clients[leader])
            move(emulator, 1.1)

            for client in survivors:
                shown = await client.to_the_end()

                assert shown.text == shown.result == whole
            first, *_ = late.shown.events
            assert first["seq"] == len(first["text"])
            assert all(event["seq"] > len(event["text"]) for event in late.shown.events[events:])
            assert emulator.state.counts["created"] == 1
