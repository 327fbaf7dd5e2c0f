"""Tasks of a server with several processes: one keeps them, and all serve them."""

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
from tests.integration.multiprocess.multiprocess import Company, company
from tests.integration.operations.commands import run
from tests.integration.task_server import SPEED
from tests.patience import patient

SERVE = ("server.py", "serve", "--port", "0")
PUBLIC_URL = "https://pictures.example"


@asynccontextmanager
async def tasks(folder: Path, size: int = 2, **changes: str) -> AsyncIterator[Company]:
    """The product in so many processes, on its own emulator."""
    command = (*SERVE, "--data-dir", str(folder))
    environment = {"PHOENIX_COMPAT_EMULATOR_SPEED": str(SPEED), **changes}
    async with company(*command, size=size, **environment) as scene:
        yield scene


@asynccontextmanager
async def watched_tasks(
    folder: Path, speed: float, public_url: str = "http://files.test"
) -> AsyncIterator[tuple[Company, ObservedEmulator]]:
    """The same on an emulator of the test's, which sees what is ordered."""
    async with (
        observed_emulator(EmulatorSettings(speed=speed)) as lookout,
        tasks(
            folder,
            REPLICATE_API_TOKEN="r8_test",
            REPLICATE_BASE_URL=f"{lookout.origin}/v1",
            PHOENIX_COMPAT_FILE_HOSTS=f'["{lookout.origin}"]',
            PUBLIC_URL=public_url,
        ) as scene,
    ):
        yield scene, lookout


async def test_a_task_is_posted_at_one_process_and_followed_at_another(tmp_path: Path) -> None:
    """Both ways round, the client hears every step, and each process shows task and picture."""
    async with tasks(tmp_path, PUBLIC_URL="http://files.test") as scene:
        for node in (0, 1):
            task_id = await scene.post(node)
            watch = await scene.watch(1 - node, task_id)

            heard = await watch.to_the_end()

            assert heard[-1]["status"] == "completed"
            progress = [one["progress"] for one in heard]
            assert len(progress) >= 2
            assert progress == sorted(progress)
            shown = [await scene.request(one, "GET", f"/api/tasks/{task_id}") for one in (0, 1)]
            assert shown[0] == shown[1]
            assert shown[0][1]["state"] == "completed"
            path = heard[-1]["result_data"]["image_url"].removeprefix("http://files.test")
            for one in (0, 1):
                picture = await (await scene.land(one)).request("GET", path)
                assert picture.header("content-type") == "image/jpeg"


async def test_an_idempotency_key_makes_one_task_at_all_processes(tmp_path: Path) -> None:
    """The same order at every process, at once: one task."""
    async with tasks(tmp_path) as scene:
        key = str(uuid.uuid4())

        ids = await asyncio.gather(
            *(scene.post(number % 2, Idempotency_Key=key) for number in range(6))
        )

        assert len(set(ids)) == 1
        _, listed = await scene.request(0, "GET", "/api/tasks")
        assert len(listed["tasks"]) == 1


async def test_a_cancel_reaches_the_worker_from_any_process(tmp_path: Path) -> None:
    """Over the channel and over HTTP, at each process: the task ends as canceled."""
    async with tasks(tmp_path, PHOENIX_COMPAT_EMULATOR_SPEED="0.2") as scene:
        for node in (0, 1):
            over_http, over_channel = await scene.post(node), await scene.post(node)
            watch = await scene.watch(node, over_http)
            wire = await scene.wire(1 - node)
            await wire.join(f"task:{over_channel}")

            await scene.request(1 - node, "POST", f"/api/tasks/{over_http}/cancel", {})
            await wire.send(["1", "2", f"task:{over_channel}", "cancel", {}])

            assert (await watch.to_the_end())[-1]["error_data"]["code"] == "canceled"
            message: Any = await wire.recv()
            while message[4].get("status") != "failed":
                message = await wire.recv()
            assert message[4]["error_data"]["code"] == "canceled"


async def test_a_task_that_is_not_there_is_refused_at_every_process(tmp_path: Path) -> None:
    """A join of an unknown task is an error and GET is 404, wherever the client is."""
    async with tasks(tmp_path) as scene:
        for node in (0, 1):
            wire = await scene.wire(node)
            reply = await wire.ask(["1", "1", "task:none", "phx_join", {}])
            status, problem = await scene.request(node, "GET", "/api/tasks/none")

            assert reply[4] == {"status": "error", "response": {"reason": "not found"}}
            assert (status, problem["status"]) == (404, 404)


@pytest.mark.parametrize("moment", [Phase.REQUEST, Phase.RESPONSE])
async def test_a_killed_keeper_loses_and_repeats_nothing(tmp_path: Path, moment: Phase) -> None:
    """SIGKILL in the middle of a task: another process takes it up, and it is paid for once."""
    async with watched_tasks(tmp_path, speed=4.0) as (scene, lookout):
        leader = await scene.leader()
        other = 1 - leader
        with lookout.intercept(
            lambda sight: sight.operation is Operation.POLL and sight.phase is moment
        ) as trap:
            task_id = await scene.post(other)
            watch = await scene.watch(other, task_id)
            async with asyncio.timeout(patient(20.0)):
                await trap.matched.wait()

        await scene.kill(leader)
        later = await scene.post(other)  # waits for the new leader
        heard = await watch.to_the_end()
        heard_later = await (await scene.watch(leader, later)).to_the_end()

        assert heard[-1]["status"] == "completed"
        progress = [one["progress"] for one in heard]
        assert progress == sorted(progress)
        assert heard_later[-1]["status"] == "completed"
        assert len(list(lookout.state.predictions)) == 2
        assert await scene.leader() == other


NEVER_OVER = "#fault:stuck_processing+webhook_never"
"""A look never sees the end of it, and the emulator tells nobody: the test does."""


def webhook_of(
    lookout: ObservedEmulator, task_id: str, **changes: object
) -> tuple[str, bytes, dict[str, str]]:
    """What Replicate would post of a task's prediction: path with query, body, signed headers."""
    orders = [(one, one.webhook) for one in lookout.state.predictions]
    [(prediction, url)] = [
        (one, order.url) for one, order in orders if order is not None and task_id in order.url
    ]
    body = json.dumps({**lookout.state.document(prediction), **changes}).encode()
    secret, at_s = lookout.state.settings.webhook_secret, int(lookout.state.clock.now_s())
    headers = webhook_headers(secret, f"msg_{lookout.state.new_id()}", at_s, body)
    return url.removeprefix(PUBLIC_URL), body, headers


async def deliver(
    scene: Company, node: int, path: str, body: bytes, headers: dict[str, str]
) -> int:
    """Post a webhook so that it arrives at this process; the status of the answer."""
    client = await scene.land(node)
    answer = await client.request("POST", path, [*headers.items()], body, timeout_s=20.0)
    return answer.status


async def test_a_webhook_ends_the_task_from_any_process(tmp_path: Path) -> None:
    """Wherever it arrives, the leader checks its signature and completes the task; one that is
    forged is refused there too, and changes nothing."""
    async with watched_tasks(tmp_path, speed=SPEED, public_url=PUBLIC_URL) as (scene, lookout):
        finished = await scene.watch(0, await scene.post(0, "monk #fault:webhook_never"))
        assert (await finished.to_the_end())[-1]["status"] == "completed"
        [prediction] = lookout.state.predictions
        picture = lookout.state.document(prediction)["output"]
        for node in (0, 1):
            task_id = await scene.post(node, f"monk {NEVER_OVER}")
            watch = await scene.watch(1 - node, task_id)
            while (await watch.next())["progress"] <= 0.1:
                pass
            path, body, headers = webhook_of(lookout, task_id, status="succeeded", output=picture)

            forged = await deliver(scene, node, path, body + b" ", headers)
            _, still = await scene.request(node, "GET", f"/api/tasks/{task_id}")
            genuine = await deliver(scene, node, path, body, headers)

            assert (forged, still["status"], genuine) == (401, "processing", 200)
            end = (await watch.to_the_end())[-1]
            assert end["status"] == "completed"
            assert end["result_data"]["image_url"].startswith(f"{PUBLIC_URL}/files/")


async def test_a_webhook_waits_for_the_next_keeper(tmp_path: Path) -> None:
    """One that comes when the leader has just been killed is taken by the one that takes over."""
    async with watched_tasks(tmp_path, speed=SPEED, public_url=PUBLIC_URL) as (scene, lookout):
        leader = await scene.leader()
        task_id = await scene.post(leader, f"monk {NEVER_OVER}")
        watch = await scene.watch(1 - leader, task_id)
        while (await watch.next())["progress"] <= 0.1:
            pass
        webhook = webhook_of(lookout, task_id, status="failed", error="NSFW content detected")

        await scene.kill(leader)
        status = await deliver(scene, 1 - leader, *webhook)

        assert status == 200
        assert (await watch.to_the_end())[-1]["error_data"]["code"] == "content_policy"


async def test_the_emulator_outlives_the_keeper(tmp_path: Path) -> None:
    """Without a token, too, a task goes on when the process that works on it is killed."""
    async with tasks(tmp_path, PHOENIX_COMPAT_EMULATOR_SPEED="4") as scene:
        leader = await scene.leader()
        task_id = await scene.post(leader)
        watch = await scene.watch(1 - leader, task_id)
        while (await watch.next())["progress"] <= 0.1:
            pass

        await scene.kill(leader)

        heard = await watch.to_the_end()
        assert heard[-1]["status"] == "completed"
        assert heard[-1]["result_data"]["image_url"].startswith("http://127.0.0.1:")


async def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """With or without workers, it ends with exit code 2 and says why; the first goes on."""
    async with tasks(tmp_path) as scene:
        for more in ((), ("--workers", "2")):
            finished = await run(*SERVE, "--data-dir", str(tmp_path), *more)

            assert finished.code == 2
            assert "another process is using it" in finished.err
            assert "Traceback" not in finished.err
        assert await scene.post(0)


async def test_workers_that_cannot_open_the_database_end_the_server(tmp_path: Path) -> None:
    """A damaged database is told once and ends all processes, exit code 2."""
    (tmp_path / "tasks.sqlite3").write_bytes(b"no database" * 1_000)

    finished = await run(*SERVE, "--data-dir", str(tmp_path), "--workers", "2")

    assert finished.code == 2
    assert "restore it from a backup" in finished.err
    assert "Traceback" not in finished.err
