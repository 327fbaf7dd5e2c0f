"""Canceling a task in every state, and results that arrive before the cancel."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import (
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    TaskNotFoundError,
)
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from tests.integration.worker.fake_provider import (
    START,
    FakeClock,
    FakeProvider,
    active,
    canceled,
    ref,
    succeeded,
)
from tests.integration.worker.worker_harness import cancel_held, code_of, open_worker_harness


async def test_a_queued_task_ends_at_once(path: Path) -> None:
    """No create was sent, so the provider is not called."""
    provider = FakeProvider()
    async with open_worker_harness(path, provider, FakeClock(), is_started=False) as harness:
        task = await harness.add()

        ended = await harness.worker.cancel(task.id)

        assert code_of(ended) == "canceled"
        assert harness.payloads(task)[-1]["status"] == "failed"
        assert provider.calls == []


async def test_a_running_prediction_is_canceled(path: Path) -> None:
    """The cancel is sent to the provider, and the answer ends the task."""
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[canceled()])
    provider.held = "fetch"
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await harness.add()
        await provider.reached.wait()

        answered = await harness.worker.cancel(task.id)
        provider.release()

        assert answered.status is TaskStatus.RUNNING
        assert code_of(await harness.ended(task)) == "canceled"
        assert provider.count("cancel") == 1


async def test_a_result_that_arrives_before_the_cancel_is_kept(path: Path) -> None:
    """The result is already paid for, so the task is completed."""
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[succeeded()])
    provider.held = "fetch"
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await cancel_held(harness, provider)

        assert (await harness.ended(task)).status is TaskStatus.COMPLETED


async def test_a_prediction_that_vanished_while_it_was_canceled_is_canceled(path: Path) -> None:
    """C7: neither the cancel nor a poll finds it, and the client is told that it was canceled."""
    gone = ProviderRefusedError(404, "model_unavailable", "no")
    provider = FakeProvider(submit=[ref()], fetch=[active(), gone], cancel=[gone])
    provider.held = "fetch"
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await cancel_held(harness, provider)

        assert code_of(await harness.ended(task)) == "canceled"


async def test_a_cancel_without_effect_ends_the_task(path: Path) -> None:
    """A failed cancel is sent again, and after ten seconds the task ends in any case."""
    lost = ProviderUncertainError("reset")
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[lost, active()])
    provider.held = "fetch"
    clock = FakeClock()
    async with open_worker_harness(path, provider, clock) as harness:
        task = await cancel_held(harness, provider)

        assert code_of(await harness.ended(task)) == "canceled"
        assert provider.count("cancel") == 2
        assert 10.0 <= clock.elapsed_s < 20.0


async def test_a_cancel_while_submitting_waits_for_the_id(path: Path) -> None:
    """The cancel is sent as soon as the create on its way has returned the prediction's id."""
    provider = FakeProvider(submit=[ref()], cancel=[canceled()])
    provider.held = "submit"
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await cancel_held(harness, provider)

        ended = await harness.ended(task)

        assert (code_of(ended), ended.prediction_id) == ("canceled", "p-1")
        assert provider.calls == ["submit", "cancel"]


async def test_a_cancel_does_not_wait_for_a_throttle(path: Path) -> None:
    """If the create on its way is throttled, the task ends instead of waiting."""
    provider = FakeProvider(submit=[ProviderThrottledError(50.0)])
    provider.held = "submit"
    clock = FakeClock()
    async with open_worker_harness(path, provider, clock) as harness:
        task = await cancel_held(harness, provider)

        ended = await harness.ended(task)

        assert code_of(ended) == "canceled"
        assert ended.completed_at == START


async def test_a_lost_create_is_not_repeated_after_a_cancel(path: Path) -> None:
    """If no lookup finds the prediction, the canceled task ends."""
    provider = FakeProvider(submit=[ProviderUncertainError("reset")], find=[[]])
    provider.held = "submit"
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await cancel_held(harness, provider)

        assert code_of(await harness.ended(task)) == "canceled"
        assert provider.count("submit") == 1


async def test_a_cancel_does_not_wait_for_the_next_poll(path: Path) -> None:
    """A prediction that is polled every 30 s is canceled at once, by the real clock."""
    intervals = PollIntervals(first_s=0.01, growth=10_000.0, limit_s=30.0)
    half_done = active(" 50%|█| 2/4 [00:00]")
    provider = FakeProvider(submit=[ref()], fetch=[half_done], cancel=[canceled()])
    async with open_worker_harness(
        path, provider, options=WorkerOptions(poll=intervals)
    ) as harness:
        task = await harness.add()
        await harness.seen_running(task)

        await harness.worker.cancel(task.id)

        assert code_of(await harness.ended(task)) == "canceled"
        assert provider.calls == ["submit", "fetch", "cancel"]


async def test_an_ended_task_stays_as_it_is(path: Path) -> None:
    """Canceling a task that has ended returns it unchanged."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await harness.run()

        assert await harness.worker.cancel(task.id) == task


async def test_an_unknown_task_cannot_be_canceled(path: Path) -> None:
    """The error names the id."""
    async with open_worker_harness(path, FakeProvider(), FakeClock()) as harness:
        with pytest.raises(TaskNotFoundError, match="no-such"):
            await harness.worker.cancel("no-such")
