"""Webhooks from the emulator to the worker, through the HTTP route; polls go on beside them."""

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
from tests.integration.worker.webhook_harness import (
    FAST_POLLS,
    WEBHOOKS_ONLY,
    WebhookHarness,
    open_webhook_harness,
)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    settings = EmulatorSettings(speed=50, seed=1, webhook_retry_s=(0.05, 0.05))
    async with Emulator(settings) as listening:
        yield listening


async def run(webhooks: WebhookHarness, prompt: str) -> Task:
    task = await webhooks.harness.run(prompt=prompt)
    assert task.status is TaskStatus.COMPLETED, task.error_data
    return task


async def test_webhooks_alone_complete_a_task(path: Path, emulator: Emulator) -> None:
    """Without any poll the task makes progress and is completed."""
    async with open_webhook_harness(path, emulator, WEBHOOKS_ONLY) as webhooks:
        task = await run(webhooks, "monk")

        assert emulator.state.counts["polls"] == 0
        progress = [payload["progress"] for payload in webhooks.harness.payloads(task)]
        assert progress == sorted(progress)
        assert set(webhooks.statuses) == {200}


@pytest.mark.parametrize("fault", ["webhook_duplicate", "webhook_reordered"])
async def test_a_webhook_after_the_end_changes_nothing(
    path: Path, emulator: Emulator, fault: str
) -> None:
    """A repeated or late webhook is answered with 200 and ignored."""
    async with open_webhook_harness(path, emulator, WEBHOOKS_ONLY) as webhooks:
        task = await run(webhooks, f"monk #fault:{fault}")

        assert await webhooks.answered_after_the_end() == [200]
        assert await webhooks.harness.now(task) == task
        assert webhooks.harness.payloads(task)[-1]["status"] == "completed"


@pytest.mark.parametrize("fault", ["webhook_never", "webhook_late"])
async def test_polls_replace_missing_webhooks(path: Path, emulator: Emulator, fault: str) -> None:
    """If a webhook is lost or late, polls complete the task."""
    async with open_webhook_harness(path, emulator, FAST_POLLS) as webhooks:
        await run(webhooks, f"monk #fault:{fault}")

        assert emulator.state.counts["polls"] > 0


@pytest.mark.parametrize(
    ("fault", "status"), [("webhook_bad_signature", 401), ("webhook_old_timestamp", 400)]
)
async def test_a_refused_webhook_is_not_applied(
    path: Path, emulator: Emulator, fault: str, status: int
) -> None:
    """It is answered with an error status, and polls complete the task."""
    async with open_webhook_harness(path, emulator, FAST_POLLS) as webhooks:
        await run(webhooks, f"monk #fault:{fault}")

        assert set(await webhooks.answered()) == {status}
        assert emulator.state.counts["polls"] > 0


@pytest.mark.parametrize("fault", ["hang_after", "reset_after", "502_after"])
async def test_a_webhook_names_the_prediction_of_a_lost_create(
    path: Path, emulator: Emulator, fault: str
) -> None:
    """If the answer to the create is lost, the first webhook's prediction is adopted."""
    async with open_webhook_harness(path, emulator, WEBHOOKS_ONLY) as webhooks:
        await run(webhooks, f"monk #fault:{fault}x1")

        assert emulator.state.counts["lists"] == 0
        assert emulator.state.counts["created"] == 1


async def test_webhooks_make_polls_rare(path: Path, emulator: Emulator) -> None:
    """Once webhooks report on a prediction, the wait before a poll is `reported_s`."""
    intervals = PollIntervals(first_s=0.02, limit_s=0.02, reported_s=60.0)
    async with open_webhook_harness(path, emulator, WorkerOptions(poll=intervals)) as webhooks:
        await run(webhooks, "monk #fault:slow_start")
        polls = emulator.state.counts["polls"]
        await run(webhooks, "monk")

        assert emulator.state.counts["polls"] <= polls + 3


async def test_a_webhook_before_the_run_is_stored(path: Path, emulator: Emulator) -> None:
    """A prediction that is reported before the task's run begins is adopted, without a create."""
    async with open_webhook_harness(path, emulator, WEBHOOKS_ONLY) as webhooks:
        await webhooks.harness.worker.stop()
        task = await webhooks.harness.add()
        snapshot = PredictionSnapshot(
            ref=PredictionRef("p-early"),
            state=PredictionState.SUCCEEDED,
            raw_status="succeeded",
            output="https://replicate.delivery/a.jpg",
        )

        assert await webhooks.harness.worker.notice(task.id, snapshot)
        await webhooks.harness.worker.start()

        assert (await webhooks.harness.ended(task)).prediction_id == "p-early"
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


async def test_forged_webhooks_are_refused(path: Path, emulator: Emulator) -> None:
    """A webhook needs the task's tag, a valid signature and a body within the limit."""
    async with open_webhook_harness(path, emulator) as webhooks:
        task = await webhooks.harness.run()
        webhooks.statuses.clear()

        assert await post(webhooks.url) == 401
        assert await post(f"{webhooks.url}?task={task.id}&tag=0") == 401
        assert await post(webhooks.address(task.id)) == 400
        assert await post(webhooks.address(task.id), headers=SIGNED) == 400
        assert await post(webhooks.address(task.id), b"x" * (MAX_BODY_BYTES + 1)) == 413


async def test_a_webhook_for_an_unknown_task(path: Path, emulator: Emulator) -> None:
    """A genuine webhook for a task that does not exist is answered with 404."""
    body = b'{"id": "p-1", "status": "processing"}'
    at_s = int(emulator.state.clock.now_s())
    headers = webhook_headers(DEFAULT_WEBHOOK_SECRET, "m-1", at_s, body)
    async with open_webhook_harness(path, emulator) as webhooks:
        assert await post(webhooks.address("t-unknown"), body, headers) == 404
        # The same webhook again is a repeat, but the task is still unknown.
        assert await post(webhooks.address("t-unknown"), body, headers) == 404


async def test_a_webhook_is_accepted_while_the_store_is_busy(
    path: Path, emulator: Emulator
) -> None:
    """It is answered with 200, so that it is not sent again; polls complete the task."""
    async with open_webhook_harness(path, emulator, FAST_POLLS) as webhooks:

        async def busy(_task_id: str, _snapshot: object) -> bool:
            raise StoreUnavailableError("locked")

        webhooks.harness.worker.notice = busy  # type: ignore[method-assign,assignment]
        await run(webhooks, "monk")

        assert set(await webhooks.answered()) == {200}
