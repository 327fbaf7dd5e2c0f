"""The worker against a scripted provider: every way a task can end, with no time passing."""

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
from tests.integration.worker.worker_harness import code_of, open_workshop
from tests.patience import patient

UNREACHABLE = ProviderUnreachableError("refused")
UNCERTAIN = ProviderUncertainError("reset")


async def test_a_task_runs_to_its_picture(path: Path, clock: FakeClock) -> None:
    """0.1, then upwards with the bar, then completed with the result."""
    bars = [active(), active(" 25%|█| 1/4 [00:00]"), active(" 75%|█| 3/4 [00:00]")]
    provider = FakeProvider(submit=[ref()], fetch=[*bars, succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        payloads = workshop.payloads(task)
        assert [payload["status"] for payload in payloads[-2:]] == ["processing", "completed"]
        progress = [payload["progress"] for payload in payloads]
        assert progress[0] == 0.1
        assert progress == sorted(progress)
        assert payloads[-1]["result_data"]["image_url"] == PICTURE
        assert task.prediction_id == "p-1"
        assert await workshop.history(task) == ["queued", "submitting", "running", "completed"]
        assert provider.count("submit") == 1


async def test_what_is_announced_is_already_stored(path: Path, clock: FakeClock) -> None:
    """Whoever hears of an end finds it in the store."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert workshop.announced[-1] == task


async def test_tasks_start_in_order_and_so_many_at_once(path: Path, clock: FakeClock) -> None:
    """The concurrency limit holds, and the longest-waiting goes first."""
    provider = FakeProvider(submit=[ref(f"p-{n}") for n in range(4)], fetch=[succeeded()])
    provider.held = "fetch"
    options = WorkerOptions(concurrency=2)
    async with open_workshop(path, provider, clock, options) as workshop:
        tasks = [await workshop.add() for _ in range(4)]
        await provider.reached.wait()

        assert workshop.worker.in_hand == 2
        provider.release()
        ended = [await workshop.ended(task) for task in tasks]
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
async def test_a_prediction_that_ends_badly_fails_the_task(
    path: Path, clock: FakeClock, answer: PredictionSnapshot, code: str
) -> None:
    """Each bad end is one code, announced once, and no second prediction is made."""
    provider = FakeProvider(submit=[ref()], fetch=[active(), answer])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert code_of(task) == code
        assert workshop.payloads(task)[-1]["progress"] == 0.0
        assert provider.count("submit") == 1


async def test_trouble_with_looking_is_not_the_task_s(path: Path, clock: FakeClock) -> None:
    """Polls may fail in every way; the prediction goes on and its result is kept."""
    trouble = [
        UNREACHABLE,
        UNCERTAIN,
        ProviderThrottledError(50.0),
        ProviderRefusedError(401, "provider_account", "no"),
        ProviderRefusedError(404, "model_unavailable", "no"),
        ProviderRefusedError(404, "model_unavailable", "no"),
    ]
    provider = FakeProvider(submit=[ref()], fetch=[*trouble, active(), succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        assert (await workshop.run()).status is TaskStatus.COMPLETED
        assert clock.elapsed_s >= 50.0


async def test_a_prediction_that_is_gone_is_expired(path: Path, clock: FakeClock) -> None:
    """Three times "not found" in a row is an answer."""
    gone = ProviderRefusedError(404, "model_unavailable", "no")
    provider = FakeProvider(submit=[ref()], fetch=[gone])
    async with open_workshop(path, provider, clock) as workshop:
        assert code_of(await workshop.run()) == "expired"
        assert provider.count("fetch") == 3


async def test_a_kind_may_have_its_own_deadline(path: Path, clock: FakeClock) -> None:
    """A task is given up at the deadline of its row, whatever the worker's is."""
    task_types = {"image": replace(TASK_TYPES["image"], deadline_s=30.0)}
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[active()])
    async with open_workshop(path, provider, clock) as workshop:
        params = determine_task_params({"type": "image", "prompt": "monk"}, task_types)
        task = await workshop.store.add(params)
        workshop.worker.wake()

        assert code_of(await workshop.ended(task)) == "timed_out"
        assert 45.0 <= clock.elapsed_s < 50.0


async def test_a_prediction_without_end_is_given_up(path: Path, clock: FakeClock) -> None:
    """At the deadline the prediction is canceled and the task has timed out."""
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[active()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert code_of(task) == "timed_out"
        assert 615.0 <= clock.elapsed_s < 640.0
        assert provider.count("cancel") == 1
        assert max(payload["progress"] for payload in workshop.payloads(task)) <= 0.95


async def test_a_picture_at_the_last_moment_is_kept(path: Path, clock: FakeClock) -> None:
    """When the cancel at the deadline finds the result there, it counts."""
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        assert (await workshop.run()).status is TaskStatus.COMPLETED


async def test_the_provider_s_own_deadline_is_a_time_out(path: Path, clock: FakeClock) -> None:
    """A prediction that the provider ended for its age has timed out, not been canceled."""
    fetch = [active()] * 120 + [canceled()]
    provider = FakeProvider(submit=[ref()], fetch=fetch, cancel=[active()])
    async with open_workshop(path, provider, clock, WorkerOptions(deadline_s=300.0)) as workshop:
        assert code_of(await workshop.run()) == "timed_out"


async def test_a_provider_unreachable_to_the_end_is_told_as_such(
    path: Path, clock: FakeClock
) -> None:
    """When nothing could be seen until the deadline, the provider is to blame, not the model."""
    provider = FakeProvider(submit=[ref()], fetch=[UNREACHABLE], cancel=[UNREACHABLE])
    async with open_workshop(path, provider, clock) as workshop:
        assert code_of(await workshop.run()) == "provider_unavailable"


async def test_an_unknown_status_is_waited_for(path: Path, clock: FakeClock) -> None:
    """A new word of the provider is no end."""
    fetch = [active(raw_status="queued"), active(raw_status="queued"), succeeded()]
    provider = FakeProvider(submit=[ref()], fetch=fetch)
    async with open_workshop(path, provider, clock) as workshop:
        assert (await workshop.run()).status is TaskStatus.COMPLETED


async def test_a_bug_ends_one_task_only(path: Path, clock: FakeClock) -> None:
    """What nobody expected fails that task with internal_error, and the next one runs."""
    provider = FakeProvider(submit=[RuntimeError("a bug"), ref()], fetch=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        broken = await workshop.run()
        sound = await workshop.run()

        assert code_of(broken) == "internal_error"
        assert "a bug" not in str(broken.error_data)
        assert sound.status is TaskStatus.COMPLETED


async def test_an_announcement_that_fails_harms_no_task(path: Path, clock: FakeClock) -> None:
    """The task ends well even when nobody could be told."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_workshop(path, provider, clock, is_started=False) as workshop:
        heard = asyncio.Event()

        def announce(task: Task) -> None:
            if task.status.is_terminal:
                heard.set()
            raise PhoenixCompatError("nobody listens")

        workshop.worker._context.recorder._announce = announce
        await workshop.worker.start()
        task = await workshop.add()
        await asyncio.wait_for(heard.wait(), patient(5))

        assert (await workshop.now(task)).status is TaskStatus.COMPLETED


async def test_a_locked_database_loses_no_prediction(path: Path, clock: FakeClock) -> None:
    """The id of a paid prediction is written as soon as the lock is gone; nothing is repeated."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    provider.held = "submit"
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.add()
        await provider.reached.wait()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        provider.release()
        await clock.has_jumped.wait()
        other.execute("ROLLBACK")
        other.close()

        assert (await workshop.ended(task)).status is TaskStatus.COMPLETED
        assert provider.count("submit") == 1
