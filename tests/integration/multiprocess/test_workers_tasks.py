"""Tasks on a server with several processes: one process runs them, and all serve them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.emulator import EmulatorSettings
from phoenix_compat.emulator.signature import webhook_headers
from tests.faults.observed_emulator import ObservedEmulator, Operation, Phase, observed_emulator
from tests.integration.multiprocess.multiprocess_harness import (
    MultiprocessServer,
    multiprocess_server,
)
from tests.integration.operations.commands import run
from tests.integration.task_server import SPEED
from tests.patience import patient

SERVE = ("server.py", "serve", "--port", "0")
PUBLIC_URL = "https://pictures.example"


@asynccontextmanager
async def tasks(folder: Path, size: int = 2, **changes: str) -> AsyncIterator[MultiprocessServer]:
    """The task server with this many processes, on its own emulator."""
    command = (*SERVE, "--data-dir", str(folder))
    environment = {"PHOENIX_COMPAT_EMULATOR_SPEED": str(SPEED), **changes}
    async with multiprocess_server(
        *command, size=size, data_dir=folder, **environment
    ) as processes:
        yield processes


@asynccontextmanager
async def watched_tasks(
    folder: Path, speed: float, public_url: str = "http://files.test"
) -> AsyncIterator[tuple[MultiprocessServer, ObservedEmulator]]:
    """The same on an emulator of the test, which sees the requests."""
    async with (
        observed_emulator(EmulatorSettings(speed=speed)) as emulator,
        tasks(
            folder,
            REPLICATE_API_TOKEN="r8_test",
            REPLICATE_BASE_URL=f"{emulator.origin}/v1",
            PHOENIX_COMPAT_FILE_HOSTS=f'["{emulator.origin}"]',
            PHOENIX_COMPAT_INSECURE_NO_AUTH="true",
            PUBLIC_URL=public_url,
        ) as processes,
    ):
        yield processes, emulator


async def test_a_task_is_posted_at_one_process_and_followed_at_another(tmp_path: Path) -> None:
    """In both directions the client gets every step, and each process serves task and picture."""
    public_url = "http://files.test"
    async with tasks(
        tmp_path, PHOENIX_COMPAT_INSECURE_NO_AUTH="true", PUBLIC_URL=public_url
    ) as processes:
        for node in (0, 1):
            task_id = await processes.post(node)
            watch = await processes.watch(1 - node, task_id)

            received = await watch.to_the_end()

            assert received[-1]["status"] == "completed"
            progress = [one["progress"] for one in received]
            assert len(progress) >= 2
            assert progress == sorted(progress)
            shown = [await processes.request(one, "GET", f"/api/tasks/{task_id}") for one in (0, 1)]
            assert shown[0] == shown[1]
            assert shown[0][1]["state"] == "completed"
            path = received[-1]["result_data"]["image_url"].removeprefix(public_url)
            for one in (0, 1):
                picture = await (await processes.connect(one)).request("GET", path)
                assert picture.header("content-type") == "image/jpeg"


async def test_every_process_links_to_the_address_that_the_client_uses(tmp_path: Path) -> None:
    """A5: without `public_url`, over HTTP and on the channel, also where the leader answers."""
    async with tasks(tmp_path) as processes:
        task_id = await processes.post(0)
        await (await processes.watch(0, task_id)).to_the_end()
        for node in (0, 1):
            _, shown = await processes.request(node, "GET", f"/api/tasks/{task_id}")
            last = (await (await processes.watch(node, task_id)).to_the_end())[-1]

            links = [task["result_data"]["image_url"] for task in (shown, last)]

            assert [link.startswith(f"{processes.url}/files/") for link in links] == [True, True]


async def test_an_idempotency_key_makes_one_task_at_all_processes(tmp_path: Path) -> None:
    """The same POST to every process at the same time creates one task."""
    async with tasks(tmp_path) as processes:
        key = str(uuid.uuid4())

        ids = await asyncio.gather(
            *(processes.post(number % 2, Idempotency_Key=key) for number in range(6))
        )

        assert len(set(ids)) == 1
        _, listed = await processes.request(0, "GET", "/api/tasks")
        assert len(listed["tasks"]) == 1


async def test_a_cancel_reaches_the_worker_from_any_process(tmp_path: Path) -> None:
    """Over the channel and over HTTP, in each process, the task ends as canceled."""
    async with tasks(tmp_path, PHOENIX_COMPAT_EMULATOR_SPEED="0.2") as processes:
        for node in (0, 1):
            over_http, over_channel = await processes.post(node), await processes.post(node)
            watch = await processes.watch(node, over_http)
            wire = await processes.wire(1 - node)
            await wire.join(f"task:{over_channel}")

            await processes.request(1 - node, "POST", f"/api/tasks/{over_http}/cancel", {})
            await wire.send(["1", "2", f"task:{over_channel}", "cancel", {}])

            assert (await watch.to_the_end())[-1]["error_data"]["code"] == "canceled"
            message: Any = await wire.recv()
            while message[4].get("status") != "failed":
                message = await wire.recv()
            assert message[4]["error_data"]["code"] == "canceled"


async def test_an_unknown_task_is_refused_by_every_process(tmp_path: Path) -> None:
    """The join of an unknown task is an error and GET is 404, in every process."""
    async with tasks(tmp_path) as processes:
        for node in (0, 1):
            wire = await processes.wire(node)
            reply = await wire.ask(["1", "1", "task:none", "phx_join", {}])
            status, problem = await processes.request(node, "GET", "/api/tasks/none")

            assert reply[4] == {"status": "error", "response": {"reason": "not found"}}
            assert (status, problem["status"]) == (404, 404)


@pytest.mark.parametrize("moment", [Phase.REQUEST, Phase.RESPONSE])
async def test_a_killed_leader_loses_and_repeats_nothing(tmp_path: Path, moment: Phase) -> None:
    """After SIGKILL in the middle of a task another process continues it; it is paid for once."""
    async with watched_tasks(tmp_path, speed=4.0) as (processes, emulator):
        leader = await processes.leader()
        other = 1 - leader
        with emulator.intercept(
            lambda sight: sight.operation is Operation.POLL and sight.phase is moment
        ) as trap:
            task_id = await processes.post(other)
            watch = await processes.watch(other, task_id)
            async with asyncio.timeout(patient(20.0)):
                await trap.matched.wait()

        await processes.kill(leader)
        later = await processes.post(other)  # waits for the new leader
        received = await watch.to_the_end()
        received_later = await (await processes.watch(leader, later)).to_the_end()

        assert received[-1]["status"] == "completed"
        progress = [one["progress"] for one in received]
        assert progress == sorted(progress)
        assert received_later[-1]["status"] == "completed"
        assert len(list(emulator.state.predictions)) == 2
        assert await processes.leader() == other


NEVER_OVER = "#fault:stuck_processing+webhook_never"
"""Polls never see the end of it, and the emulator sends no webhook: the test sends it."""


def webhook_of(
    emulator: ObservedEmulator, task_id: str, **changes: object
) -> tuple[str, bytes, dict[str, str]]:
    """The webhook for a task's prediction: path with query, body, signed headers."""
    predictions = [(one, one.webhook) for one in emulator.state.predictions]
    [(prediction, url)] = [
        (one, webhook.url)
        for one, webhook in predictions
        if webhook is not None and task_id in webhook.url
    ]
    body = json.dumps({**emulator.state.document(prediction), **changes}).encode()
    secret, at_s = emulator.state.settings.webhook_secret, int(emulator.state.clock.now_s())
    headers = webhook_headers(secret, f"msg_{emulator.state.new_id()}", at_s, body)
    return url.removeprefix(PUBLIC_URL), body, headers


async def deliver(
    processes: MultiprocessServer, node: int, path: str, body: bytes, headers: dict[str, str]
) -> int:
    """Post a webhook to this process; returns the status of the response."""
    client = await processes.connect(node)
    answer = await client.request("POST", path, [*headers.items()], body, timeout_s=20.0)
    return answer.status


async def test_a_webhook_ends_the_task_from_any_process(tmp_path: Path) -> None:
    """Whichever process receives it, the leader checks its signature and completes the task; a
    forged webhook is refused and changes nothing."""
    async with watched_tasks(tmp_path, speed=SPEED, public_url=PUBLIC_URL) as (processes, emulator):
        finished = await processes.watch(0, await processes.post(0, "monk #fault:webhook_never"))
        assert (await finished.to_the_end())[-1]["status"] == "completed"
        [prediction] = emulator.state.predictions
        picture = emulator.state.document(prediction)["output"]
        for node in (0, 1):
            task_id = await processes.post(node, f"monk {NEVER_OVER}")
            watch = await processes.watch(1 - node, task_id)
            while (await watch.next())["progress"] <= 0.1:
                pass
            path, body, headers = webhook_of(emulator, task_id, status="succeeded", output=picture)

            forged = await deliver(processes, node, path, body + b" ", headers)
            _, still = await processes.request(node, "GET", f"/api/tasks/{task_id}")
            genuine = await deliver(processes, node, path, body, headers)

            assert (forged, still["status"], genuine) == (401, "processing", 200)
            end = (await watch.to_the_end())[-1]
            assert end["status"] == "completed"
            assert end["result_data"]["image_url"].startswith(f"{PUBLIC_URL}/files/")


async def test_a_webhook_waits_for_the_next_leader(tmp_path: Path) -> None:
    """A webhook that comes just after the leader was killed is processed by the new leader."""
    async with watched_tasks(tmp_path, speed=SPEED, public_url=PUBLIC_URL) as (processes, emulator):
        leader = await processes.leader()
        task_id = await processes.post(leader, f"monk {NEVER_OVER}")
        watch = await processes.watch(1 - leader, task_id)
        while (await watch.next())["progress"] <= 0.1:
            pass
        webhook = webhook_of(emulator, task_id, status="failed", error="NSFW content detected")

        await processes.kill(leader)
        status = await deliver(processes, 1 - leader, *webhook)

        assert status == 200
        assert (await watch.to_the_end())[-1]["error_data"]["code"] == "content_policy"


async def test_the_emulator_outlives_the_leader(tmp_path: Path) -> None:
    """Without a token, too, a task continues after the process that runs it is killed."""
    async with tasks(tmp_path, PHOENIX_COMPAT_EMULATOR_SPEED="4") as processes:
        leader = await processes.leader()
        task_id = await processes.post(leader)
        watch = await processes.watch(1 - leader, task_id)
        while (await watch.next())["progress"] <= 0.1:
            pass

        await processes.kill(leader)

        received = await watch.to_the_end()
        assert received[-1]["status"] == "completed"
        assert received[-1]["result_data"]["image_url"].startswith("http://127.0.0.1:")


async def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """With or without workers, it ends with exit code 2 and the reason; the first keeps running."""
    async with tasks(tmp_path) as processes:
        for more in ((), ("--workers", "2")):
            finished = await run(*SERVE, "--data-dir", str(tmp_path), *more)

            assert finished.code == 2
            assert "another process is using it" in finished.err
            assert "Traceback" not in finished.err
        assert await processes.post(0)


async def test_workers_that_cannot_open_the_database_end_the_server(tmp_path: Path) -> None:
    """A damaged database is reported and ends all processes with exit code 2."""
    (tmp_path / "tasks.sqlite3").write_bytes(b"no database" * 1_000)

    finished = await run(*SERVE, "--data-dir", str(tmp_path), "--workers", "2")

    assert finished.code == 2
    assert "restore it from a backup" in finished.err
    assert "Traceback" not in finished.err
