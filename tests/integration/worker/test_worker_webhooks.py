"""Webhooks from the emulator to the worker, through the route; looking goes on beside them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.emulator.settings import DEFAULT_WEBHOOK_SECRET
from phoenix_compat.emulator.signature import webhook_headers
from phoenix_compat.server.http.webhooks import MAX_BODY_BYTES
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from tests.integration.worker.webhook_harness import BLIND, LOOKING, Scene, reported


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    settings = EmulatorSettings(speed=50, seed=1, webhook_retry_s=(0.05, 0.05))
    async with Emulator(settings) as listening:
        yield listening


async def run(scene: Scene, prompt: str) -> Task:
    task = await scene.workshop.run(prompt=prompt)
    assert task.status is TaskStatus.COMPLETED, task.error_data
    return task


async def test_webhooks_bring_the_picture(path: Path, emulator: Emulator) -> None:
    """Without a single look the task makes progress and completes."""
    async with reported(path, emulator, BLIND) as scene:
        task = await run(scene, "monk")

        assert emulator.state.counts["polls"] == 0
        progress = [payload["progress"] for payload in scene.workshop.payloads(task)]
        assert progress == sorted(progress)
        assert set(scene.statuses) == {200}


@pytest.mark.parametrize("fault", ["webhook_duplicate", "webhook_reordered"])
async def test_what_comes_after_the_end_changes_nothing(
    path: Path, emulator: Emulator, fault: str
) -> None:
    """A repeat and a latecomer are answered with 200 and forgotten."""
    async with reported(path, emulator, BLIND) as scene:
        task = await run(scene, f"monk #fault:{fault}")

        assert await scene.answered_after_the_end() == [200]
        assert await scene.workshop.now(task) == task
        assert scene.workshop.payloads(task)[-1]["status"] == "completed"


@pytest.mark.parametrize("fault", ["webhook_never", "webhook_late"])
async def test_looking_goes_on(path: Path, emulator: Emulator, fault: str) -> None:
    """A webhook that does not come keeps nobody from the picture."""
    async with reported(path, emulator, LOOKING) as scene:
        await run(scene, f"monk #fault:{fault}")

        assert emulator.state.counts["polls"] > 0


@pytest.mark.parametrize(
    ("fault", "status"), [("webhook_bad_signature", 401), ("webhook_old_timestamp", 400)]
)
async def test_a_webhook_that_is_refused_wakes_nobody(
    path: Path, emulator: Emulator, fault: str, status: int
) -> None:
    """It is answered with a problem, and the picture is found by looking."""
    async with reported(path, emulator, LOOKING) as scene:
        await run(scene, f"monk #fault:{fault}")

        assert set(await scene.answered()) == {status}
        assert emulator.state.counts["polls"] > 0


@pytest.mark.parametrize("fault", ["hang_after", "reset_after", "502_after"])
async def test_a_webhook_carries_a_lost_order_home(
    path: Path, emulator: Emulator, fault: str
) -> None:
    """The answer of the create is lost; the first webhook names the prediction."""
    async with reported(path, emulator, BLIND) as scene:
        await run(scene, f"monk #fault:{fault}x1")

        assert emulator.state.counts["lists"] == 0
        assert emulator.state.counts["created"] == 1


async def test_webhooks_make_looks_rare(path: Path, emulator: Emulator) -> None:
    """Once a prediction is reported on, looks come at the slow pace."""
    pace = PollIntervals(first_s=0.02, limit_s=0.02, reported_s=60.0)
    async with reported(path, emulator, WorkerOptions(poll=pace)) as scene:
        await run(scene, "monk #fault:slow_start")
        polls = emulator.state.counts["polls"]
        await run(scene, "monk")

        assert emulator.state.counts["polls"] <= polls + 3


async def test_webhooks_of_a_task_nobody_works_on_are_kept(path: Path, emulator: Emulator) -> None:
    """A server that is told of an order before it takes the task up adopts it at once."""
    async with reported(path, emulator, BLIND) as scene:
        await scene.workshop.worker.stop()
        task = await scene.workshop.add()
        told = PredictionSnapshot(
            ref=PredictionRef("p-early"),
            state=PredictionState.SUCCEEDED,
            raw_status="succeeded",
            output="https://replicate.delivery/a.jpg",
        )

        assert await scene.workshop.worker.notice(task.id, told)
        await scene.workshop.worker.start()

        assert (await scene.workshop.ended(task)).prediction_id == "p-early"
        assert emulator.state.counts["created"] == 0


async def post(url: str, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers=headers) as answer,
    ):
        if answer.status != 200:
            assert answer.content_type == "application/problem+json"
        return answer.status


SIGNED = {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}


async def test_strangers_are_refused(path: Path, emulator: Emulator) -> None:
    """Without our tag nothing is read; with it, only what is signed and fits counts."""
    async with reported(path, emulator) as scene:
        task = await scene.workshop.run()
        scene.statuses.clear()

        assert await post(scene.url) == 401
        assert await post(f"{scene.url}?task={task.id}&tag=0") == 401
        assert await post(scene.address(task.id)) == 400
        assert await post(scene.address(task.id), headers=SIGNED) == 400
        assert await post(scene.address(task.id), b"x" * (MAX_BODY_BYTES + 1)) == 413


async def test_a_task_that_is_not_there(path: Path, emulator: Emulator) -> None:
    """A genuine webhook for a task that was deleted is answered with 404."""
    body = b'{"id": "p-1", "status": "processing"}'
    at_s = int(emulator.state.clock.now_s())
    headers = webhook_headers(DEFAULT_WEBHOOK_SECRET, "m-1", at_s, body)
    async with reported(path, emulator) as scene:
        assert await post(scene.address("t-unknown"), body, headers) == 404
        # The same again is a repeat, but the task is as unknown as before.
        assert await post(scene.address("t-unknown"), body, headers) == 404


async def test_a_store_that_is_busy_is_no_error_of_the_provider(
    path: Path, emulator: Emulator
) -> None:
    """The webhook is answered with 200: it would only come again, and looking goes on."""
    async with reported(path, emulator, LOOKING) as scene:

        async def busy(_task_id: str, _snapshot: object) -> bool:
            raise StoreUnavailableError("locked")

        scene.workshop.worker.notice = busy  # type: ignore[method-assign,assignment]
        await run(scene, "monk")

        assert set(await scene.answered()) == {200}
