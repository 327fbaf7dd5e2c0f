"""The main job: create a task, follow it over its channel, and get a picture."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from phoenix_compat.emulator import Emulator, EmulatorClock, EmulatorSettings
from tests.integration.task_server import SPEED, Client, product, settings_for
from tests.wire import PhoenixWire

RESULT_KEYS = {
    "image_url",
    "image_urls",
    "model",
    "provider",
    "prediction_id",
    "created_at",
    "completed_at",
}


@asynccontextmanager
async def paused_models(folder: Path) -> AsyncIterator[tuple[Client, EmulatorClock]]:
    """The server with models whose clock stands still, so that no task ends before it is watched.

    `clock.scale(1.0)` lets them go on.
    """
    async with Emulator(EmulatorSettings(speed=SPEED)) as replicate:
        replicate.state.clock.scale(0.0)
        settings = settings_for(
            folder, replicate_api_token="r8_test", replicate_base_url=replicate.base_url
        )
        async with product(settings) as client:
            yield client, replicate.state.clock


def numbers(payloads: Any) -> list[float]:
    """The progress of each payload."""
    return [payload["progress"] for payload in payloads]


async def test_a_posted_task_ends_with_a_picture(tmp_path: Path) -> None:
    """POST, join, progress that never decreases, and a picture with the requested aspect ratio."""
    async with paused_models(tmp_path) as (client, clock):
        task_id = await client.post("Medieval monk", aspect_ratio="16:9")
        watch = await client.watch(task_id)
        payloads = [await watch.next()]

        clock.scale(1.0)
        payloads += await watch.to_the_end()

        last = payloads[-1]
        assert last["status"] == "completed"
        assert numbers(payloads) == sorted(numbers(payloads))
        assert {payload["status"] for payload in payloads[:-1]} == {"processing"}
        async with aiohttp.request("GET", last["result_data"]["image_url"]) as answer:
            picture = Image.open(io.BytesIO(await answer.read()))
        assert picture.width / picture.height == pytest.approx(16 / 9, rel=0.05)


async def test_payloads_are_exactly_those_that_the_app_expects(tmp_path: Path) -> None:
    """`progress` has the keys that the app knows, floats, and times with Z."""
    async with paused_models(tmp_path) as (client, clock):
        task_id = await client.post()
        watch = await client.watch(task_id)
        payloads = [await watch.next()]

        clock.scale(1.0)
        payloads += await watch.to_the_end()

        first, last = payloads[0], payloads[-1]
        assert set(first) == {"task_id", "progress", "status", "timestamp"}
        assert set(last) == {"task_id", "progress", "status", "timestamp", "result_data"}
        assert set(last["result_data"]) == RESULT_KEYS
        assert last["task_id"] == task_id
        assert last["result_data"]["model"] == "google/imagen-4-fast"
        assert last["result_data"]["provider"] == "Replicate"
        assert all(isinstance(payload["progress"], float) for payload in payloads)
        assert all(len(payload["timestamp"]) == len("2026-01-05T10:00:00Z") for payload in payloads)


async def test_a_failure_has_a_code(tmp_path: Path) -> None:
    """A refused prompt ends as failed, at 0.0, with a text for people and a stable code."""
    async with product(settings_for(tmp_path)) as client:
        task_id = await client.post("#fault:E005")

        last = await client.ended(task_id)

        assert (last["status"], last["progress"]) == ("failed", 0.0)
        assert set(last) == {"task_id", "progress", "status", "timestamp", "error_data"}
        assert last["error_data"]["code"] == "content_policy"


async def test_a_task_that_has_ended_can_still_be_joined(tmp_path: Path) -> None:
    """A client that joins late gets the terminal progress at once."""
    async with product(settings_for(tmp_path)) as client:
        task_id = await client.post()
        before = await client.ended(task_id)

        after = await client.follow(task_id)

        assert after == [before]


async def test_ten_clients_all_get_the_end(tmp_path: Path) -> None:
    """Ten clients on one task each get its terminal progress."""
    async with product(settings_for(tmp_path)) as client:
        task_id = await client.post()

        ends = await asyncio.gather(*(client.ended(task_id) for _ in range(10)))

        assert [end["status"] for end in ends] == ["completed"] * 10
        assert all(end == ends[0] for end in ends)


async def test_progress_never_decreases_across_rejoins(tmp_path: Path) -> None:
    """A client that rejoins twice while the task runs never gets less progress than before."""
    async with paused_models(tmp_path) as (client, clock):
        task_id = await client.post(model="black-forest-labs/flux-dev")
        payloads = []
        for _ in range(2):
            watch = await client.watch(task_id)
            payloads.append(await watch.next())
            while payloads[-1]["progress"] <= 0.1:
                payloads.append(await watch.next())
            await watch.leave()

        clock.scale(1.0)
        payloads += await client.follow(task_id)

        assert payloads[-1]["status"] == "completed"
        assert numbers(payloads) == sorted(numbers(payloads))


async def test_a_join_of_an_unknown_task_is_refused(tmp_path: Path) -> None:
    """The topic of an unknown task is refused with `not found`."""
    async with product(settings_for(tmp_path)) as client:
        wire = await PhoenixWire.open(client.url)

        reply = await wire.ask(["1", "1", "task:unknown", "phx_join", {}])

        assert reply[4] == {"response": {"reason": "not found"}, "status": "error"}
        await wire.close()


async def test_a_newer_client_uses_status_and_cancel_over_the_channel(tmp_path: Path) -> None:
    """`status` replies with the present state; `cancel` ends the task as failed, code canceled."""
    async with product(settings_for(tmp_path)) as client:
        task_id = await client.post("#fault:stuck_processing")
        wire = await PhoenixWire.open(client.url)
        await wire.join(topic := f"task:{task_id}")

        await wire.send(["1", "2", topic, "status", {}])
        await wire.send(["1", "3", topic, "cancel", {}])

        replies: dict[str, Any] = {}
        last: dict[str, Any] = {}
        while last.get("status") != "failed":
            _, ref, _, event, payload = await wire.recv()
            if event == "phx_reply":
                replies[ref] = payload
            else:
                last = payload
        assert replies["2"]["response"]["status"] == "processing"
        assert replies["3"] == {"response": {}, "status": "ok"}
        assert last["error_data"]["code"] == "canceled"
        await wire.close()


async def test_a_restart_in_the_middle_finishes_the_task(tmp_path: Path) -> None:
    """A restarted server continues with the running prediction; none is paid for twice."""
    async with Emulator(EmulatorSettings(speed=2.0)) as replicate:
        settings = settings_for(
            tmp_path, replicate_api_token="r8_test", replicate_base_url=replicate.base_url
        )
        async with product(settings) as client:
            task_id = await client.post()
            watch = await client.watch(task_id)
            while (await watch.next())["progress"] <= 0.1:
                pass
            await watch.leave()

        async with product(settings) as client:
            last = await client.ended(task_id)

        assert last["status"] == "completed"
        assert len(replicate.state.predictions) == 1


async def test_a_token_leads_to_the_provider_it_names(tmp_path: Path) -> None:
    """With a token and a base URL the job runs at that provider."""
    async with Emulator(EmulatorSettings(speed=SPEED, api_token="r8_mine")) as replicate:
        settings = settings_for(
            tmp_path, replicate_api_token="r8_mine", replicate_base_url=replicate.base_url
        )
        async with product(settings) as client:
            last = await client.ended(await client.post())

        assert last["status"] == "completed"
        assert last["result_data"]["image_url"].startswith(replicate.origin)


async def test_clients_of_a_task_see_each_other(tmp_path: Path) -> None:
    """With `show_watchers` a client gets the presence of the task, and diffs as others join."""
    async with product(settings_for(tmp_path, show_watchers=True)) as client:
        task_id = await client.post("#fault:stuck_processing")
        alice = await PhoenixWire.open(client.url, "/socket/websocket?vsn=2.0.0&user=alice")
        await alice.join(topic := f"task:{task_id}")
        bob = await PhoenixWire.open(client.url, "/socket/websocket?vsn=2.0.0&user=__proto__")

        await bob.join(topic)

        seen: dict[str, Any] = {}
        while "anonymous" not in seen:
            _, _, _, event, payload = await alice.recv()
            if event == "presence_diff":
                seen |= payload["joins"]
        assert set(seen) <= {"alice", "anonymous"}
        await alice.close()
        await bob.close()
