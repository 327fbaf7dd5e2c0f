"""The worker with a fake provider and a fake clock: every way in which a task can end."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.tasks.model.errors import (
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.model.task_types import TASK_TYPES, determine_task_params
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import (
    PICTURE,
    FakeClock,
    FakeProvider,
    active,
    canceled,
    failed,
    ref,
    succeeded,
)
from tests.integration.worker.worker_harness import code_of, open_worker_harness
from tests.patience import patient

UNREACHABLE = ProviderUnreachableError("refused")
UNCERTAIN = ProviderUncertainError("reset")


async def test_a_task_runs_until_its_picture_is_there(path: Path, clock: FakeClock) -> None:
    """The progress starts at 0.1 and rises with the progress bar; then the task is completed."""
    bars = [active(), active(" 25%|█| 1/4 [00:00]"), active(" 75%|█| 3/4 [00:00]")]
    provider = FakeProvider(submit=[ref()], fetch=[*bars, succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        payloads = harness.payloads(task)
        assert [payload["status"] for payload in payloads[-2:]] == ["processing", "completed"]
        progress = [payload["progress"] for payload in payloads]
        assert progress[0] == 0.1
        assert progress == sorted(progress)
        assert payloads[-1]["result_data"]["image_url"] == PICTURE
        assert task.prediction_id == "p-1"
        assert await harness.history(task) == ["queued", "submitting", "running", "completed"]
        assert provider.count("submit") == 1


async def test_what_is_announced_is_already_stored(path: Path, clock: FakeClock) -> None:
    """The last announcement is the task as it is in the store."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert harness.announced[-1] == task


async def test_tasks_start_in_order_up_to_the_concurrency(path: Path, clock: FakeClock) -> None:
    """The concurrency limit holds, and the task that has waited longest starts first."""
    provider = FakeProvider(submit=[ref(f"p-{n}") for n in range(4)], fetch=[succeeded()])
    provider.hold("fetch", times=2)
    options = WorkerOptions(concurrency=2)
    async with open_worker_harness(path, provider, clock, options) as harness:
        tasks = [await harness.add() for _ in range(4)]
        await provider.reached.wait()

        assert harness.worker.running == 2
        provider.release()
        ended = [await harness.ended(task) for task in tasks]
        assert {task.status for task in ended} == {TaskStatus.COMPLETED}
        assert [task.prediction_id for task in ended] == ["p-0", "p-1", "p-2", "p-3"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (failed("flagged as sensitive (E005)"), "content_policy"),
        (failed("Insufficient credit, see billing"), "provider_account"),
        (failed("E1001: out of memory"), "out_of_memory"),
        (failed("list index out of range"), "model_failed"),
        (canceled(), "canceled"),
        (succeeded(None), "empty_output"),
        (succeeded([]), "empty_output"),
        (succeeded("data:image/png;base64,AAAA"), "unsupported_output"),
    ],
)
async def test_a_prediction_without_a_result_fails_the_task(
    path: Path, clock: FakeClock, answer: PredictionSnapshot, code: str
) -> None:
    """Each such end has its error code, and no second prediction is made."""
    provider = FakeProvider(submit=[ref()], fetch=[active(), answer])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert code_of(task) == code
        assert harness.payloads(task)[-1]["progress"] == 0.0
        assert provider.count("submit") == 1


async def test_failed_polls_do_not_fail_the_task(path: Path, clock: FakeClock) -> None:
    """Whatever error a poll meets, polling goes on and the result is kept."""
    errors = [
        UNREACHABLE,
        UNCERTAIN,
        ProviderThrottledError(50.0),
        ProviderRefusedError(401, "provider_account", "no"),
        ProviderRefusedError(404, "model_unavailable", "no"),
        ProviderRefusedError(404, "model_unavailable", "no"),
    ]
    provider = FakeProvider(submit=[ref()], fetch=[*errors, active(), succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        assert (await harness.run()).status is TaskStatus.COMPLETED
        assert clock.elapsed_s >= 50.0


async def test_a_prediction_that_is_gone_has_expired(path: Path, clock: FakeClock) -> None:
    """After three polls in a row that find no prediction, the task fails."""
    gone = ProviderRefusedError(404, "model_unavailable", "no")
    provider = FakeProvider(submit=[ref()], fetch=[gone])
    async with open_worker_harness(path, provider, clock) as harness:
        assert code_of(await harness.run()) == "expired"
        assert provider.count("fetch") == 3


async def test_a_task_type_may_have_its_own_deadline(path: Path, clock: FakeClock) -> None:
    """The deadline in the task's row takes precedence over the worker's."""
    task_types = {"image": replace(TASK_TYPES["image"], deadline_s=30.0)}
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[active()])
    async with open_worker_harness(path, provider, clock) as harness:
        params = determine_task_params({"type": "image", "prompt": "monk"}, task_types)
        task = await harness.store.add(params)
        harness.worker.wake()

        assert code_of(await harness.ended(task)) == "timed_out"
        assert 45.0 <= clock.elapsed_s < 50.0


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_task_outlives_its_type(path: Path, clock: FakeClock, restarts: bool) -> None:
    """D3: a type that is removed while its task runs, also over a restart, costs no paid result."""
    provider = FakeProvider(submit=[ref()], fetch=[active(), succeeded()])
    provider.held = "fetch"
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.add()
        await provider.reached.wait()
        harness.worker.runs.context = replace(harness.worker.runs.context, task_types={})
        if restarts:
            await harness.worker.stop()
            await harness.worker.start()
        provider.release()

        ended = await harness.ended(task)

        assert ended.status is TaskStatus.COMPLETED
        assert harness.payloads(task)[-1]["result_data"]["image_url"] == PICTURE


async def test_a_prediction_that_never_ends_times_out(path: Path, clock: FakeClock) -> None:
    """At the deadline the prediction is canceled and the task has timed out."""
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[active()])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert code_of(task) == "timed_out"
        assert 615.0 <= clock.elapsed_s < 640.0
        assert provider.count("cancel") == 1
        assert max(payload["progress"] for payload in harness.payloads(task)) <= 0.95


async def test_a_result_found_at_the_deadline_is_kept(path: Path, clock: FakeClock) -> None:
    """If the cancel at the deadline answers with a result, the task is completed."""
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        assert (await harness.run()).status is TaskStatus.COMPLETED


async def test_the_provider_s_own_deadline_is_a_timeout(path: Path, clock: FakeClock) -> None:
    """A prediction that the provider cancels at its deadline has timed out."""
    fetch = [active()] * 120 + [canceled()]
    provider = FakeProvider(submit=[ref()], fetch=fetch, cancel=[active()])
    async with open_worker_harness(
        path, provider, clock, WorkerOptions(deadline_s=300.0)
    ) as harness:
        assert code_of(await harness.run()) == "timed_out"


async def test_a_provider_unreachable_until_the_deadline_is_named(
    path: Path, clock: FakeClock
) -> None:
    """If the last polls before the deadline failed, the code says that the provider did."""
    provider = FakeProvider(submit=[ref()], fetch=[UNREACHABLE], cancel=[UNREACHABLE])
    async with open_worker_harness(path, provider, clock) as harness:
        assert code_of(await harness.run()) == "provider_unavailable"


async def test_an_unknown_status_is_not_an_end(path: Path, clock: FakeClock) -> None:
    """Polling goes on while the provider answers with a status that is not known."""
    fetch = [active(raw_status="queued"), active(raw_status="queued"), succeeded()]
    provider = FakeProvider(submit=[ref()], fetch=fetch)
    async with open_worker_harness(path, provider, clock) as harness:
        assert (await harness.run()).status is TaskStatus.COMPLETED


async def test_a_bug_ends_one_task_only(path: Path, clock: FakeClock) -> None:
    """An unexpected exception fails that task with internal_error, and the next task runs."""
    provider = FakeProvider(submit=[RuntimeError("a bug"), ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        first = await harness.run()
        second = await harness.run()

        assert code_of(first) == "internal_error"
        assert "a bug" not in str(first.error_data)
        assert second.status is TaskStatus.COMPLETED


async def test_a_failed_announcement_does_not_fail_the_task(path: Path, clock: FakeClock) -> None:
    """The task is completed even if no announcement succeeds."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock, is_started=False) as harness:
        has_ended = asyncio.Event()

        def announce(task: Task) -> None:
            if task.status.is_terminal:
                has_ended.set()
            raise PhoenixCompatError("broadcast failed")

        harness.worker._context.recorder._announce = announce
        await harness.worker.start()
        task = await harness.add()
        await asyncio.wait_for(has_ended.wait(), patient(5))

        assert (await harness.now(task)).status is TaskStatus.COMPLETED


async def test_a_locked_database_loses_no_prediction(path: Path, clock: FakeClock) -> None:
    """The prediction's id is written once the lock is released, and no create is repeated."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    provider.held = "submit"
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.add()
        await provider.reached.wait()
        locking = sqlite3.connect(path, isolation_level=None)
        locking.execute("BEGIN IMMEDIATE")
        provider.release()
        await clock.has_jumped.wait()
        locking.execute("ROLLBACK")
        locking.close()

        assert (await harness.ended(task)).status is TaskStatus.COMPLETED
        assert provider.count("submit") == 1
