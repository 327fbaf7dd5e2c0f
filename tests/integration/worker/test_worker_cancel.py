"""Canceling: at every state, and the result that was faster."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import (
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
from tests.integration.worker.worker_harness import cancel_held, code_of, open_workshop


async def test_a_queued_task_ends_at_once(path: Path) -> None:
    """Nothing was ordered, so nothing is asked of the provider."""
    provider = FakeProvider()
    async with open_workshop(path, provider, FakeClock(), is_started=False) as workshop:
        task = await workshop.add()

        ended = await workshop.worker.cancel(task.id)

        assert code_of(ended) == "canceled"
        assert workshop.payloads(task)[-1]["status"] == "failed"
        assert provider.calls == []


async def test_a_running_prediction_is_canceled(path: Path) -> None:
    """The provider is asked, and its answer ends the task."""
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[canceled()])
    provider.held = "fetch"
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await workshop.add()
        await provider.reached.wait()

        answered = await workshop.worker.cancel(task.id)
        provider.release()

        assert answered.status is TaskStatus.RUNNING
        assert code_of(await workshop.ended(task)) == "canceled"
        assert provider.count("cancel") == 1


async def test_a_result_that_was_faster_is_kept(path: Path) -> None:
    """The user has paid for it: a cancel that comes too late changes nothing."""
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[succeeded()])
    provider.held = "fetch"
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await cancel_held(workshop, provider)

        assert (await workshop.ended(task)).status is TaskStatus.COMPLETED


async def test_a_cancel_that_is_not_heeded_ends_the_task(path: Path) -> None:
    """After ten seconds the task ends, whatever the provider says, and the wish is repeated
    when it was not heard."""
    unheard = ProviderUncertainError("reset")
    provider = FakeProvider(submit=[ref()], fetch=[active()], cancel=[unheard, active()])
    provider.held = "fetch"
    clock = FakeClock()
    async with open_workshop(path, provider, clock) as workshop:
        task = await cancel_held(workshop, provider)

        assert code_of(await workshop.ended(task)) == "canceled"
        assert provider.count("cancel") == 2
        assert 10.0 <= clock.elapsed_s < 20.0


async def test_a_cancel_while_submitting_waits_for_the_id(path: Path) -> None:
    """The order is on its way: when its id is known, it is canceled by it."""
    provider = FakeProvider(submit=[ref()], cancel=[canceled()])
    provider.held = "submit"
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await cancel_held(workshop, provider)

        ended = await workshop.ended(task)

        assert (code_of(ended), ended.prediction_id) == ("canceled", "p-1")
        assert provider.calls == ["submit", "cancel"]


async def test_a_cancel_does_not_wait_for_a_throttle(path: Path) -> None:
    """When the order on its way is put off, the task ends instead of waiting."""
    provider = FakeProvider(submit=[ProviderThrottledError(50.0)])
    provider.held = "submit"
    clock = FakeClock()
    async with open_workshop(path, provider, clock) as workshop:
        task = await cancel_held(workshop, provider)

        ended = await workshop.ended(task)

        assert code_of(ended) == "canceled"
        assert ended.completed_at == START


async def test_a_lost_order_is_not_repeated_after_a_cancel(path: Path) -> None:
    """When the order cannot be found and nobody wants it any more, that is the end."""
    provider = FakeProvider(submit=[ProviderUncertainError("reset")], find=[[]])
    provider.held = "submit"
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await cancel_held(workshop, provider)

        assert code_of(await workshop.ended(task)) == "canceled"
        assert provider.count("submit") == 1


async def test_a_cancel_does_not_wait_for_the_next_look(path: Path) -> None:
    """A prediction that is looked at every half minute is canceled now, by the real clock."""
    pace = PollIntervals(first_s=0.01, growth=10_000.0, limit_s=30.0)
    half = active(" 50%|█| 2/4 [00:00]")
    provider = FakeProvider(submit=[ref()], fetch=[half], cancel=[canceled()])
    async with open_workshop(path, provider, options=WorkerOptions(poll=pace)) as workshop:
        task = await workshop.add()
        await workshop.seen_running(task)

        await workshop.worker.cancel(task.id)

        assert code_of(await workshop.ended(task)) == "canceled"
        assert provider.calls == ["submit", "fetch", "cancel"]


async def test_an_ended_task_stays_as_it_is(path: Path) -> None:
    """Canceling what has ended answers with the end."""
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await workshop.run()

        assert await workshop.worker.cancel(task.id) == task


async def test_an_unknown_task_cannot_be_canceled(path: Path) -> None:
    """The error names the id."""
    async with open_workshop(path, FakeProvider(), FakeClock()) as workshop:
        with pytest.raises(TaskNotFoundError, match="no-such"):
            await workshop.worker.cancel("no-such")
