"""Polling a running prediction while webhooks report on it."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.worker.poll import PollSteps
from phoenix_compat.tasks.worker.run_state import TaskRun
from tests.integration.worker.fake_provider import (
    FakeClock,
    FakeProvider,
    active,
    canceled,
    succeeded,
)
from tests.unit.tasks.sample_tasks import make_task
from tests.unit.tasks.worker.memory_store import MemoryStore, worker_context

HALF_DONE = active(" 50%|█| 2/4 [00:00]")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    task = make_task(TaskStatus.RUNNING, prediction_id="p-1", progress=0.1, started_at=clock.now())
    return MemoryStore(task, clock)


async def test_a_webhook_during_a_poll_is_applied(store: MemoryStore, clock: FakeClock) -> None:
    """A result that is reported while a poll is on its way ends the task without another poll."""
    provider, run = FakeProvider(fetch=[HALF_DONE], cancel=[canceled()]), TaskRun(is_resumed=True)
    provider.held = "fetch"
    steps = PollSteps(worker_context(store, provider, clock), run)
    polling = asyncio.create_task(steps.until_ended(store.task))
    await asyncio.wait_for(provider.reached.wait(), 5)

    run.report(succeeded())
    provider.release()
    ended = await asyncio.wait_for(polling, 5)

    assert ended.status is TaskStatus.COMPLETED
    assert provider.calls == ["fetch"]
    assert clock.elapsed_s == 0.0


async def test_a_webhook_while_a_poll_is_applied_is_not_lost(
    store: MemoryStore, clock: FakeClock
) -> None:
    """A result that is reported while the progress is written ends the task at once."""
    provider, run = FakeProvider(fetch=[HALF_DONE], cancel=[canceled()]), TaskRun(is_resumed=True)
    store.during["record_progress"] = lambda: run.report(succeeded())

    ended = await PollSteps(worker_context(store, provider, clock), run).until_ended(store.task)

    assert ended.status is TaskStatus.COMPLETED
    assert provider.calls == ["fetch"]
    assert clock.elapsed_s == 0.0


async def test_a_webhook_while_the_row_is_read_is_not_lost(
    store: MemoryStore, clock: FakeClock
) -> None:
    """A second webhook that arrives while the first one wakes the run is applied as well."""
    provider, run = FakeProvider(fetch=[HALF_DONE], cancel=[canceled()]), TaskRun(is_resumed=True)
    run.report(HALF_DONE)
    store.during["get"] = lambda: run.report(succeeded())

    ended = await PollSteps(worker_context(store, provider, clock), run).until_ended(store.task)

    assert ended.status is TaskStatus.COMPLETED
    assert provider.calls == []


async def test_a_cancel_while_a_poll_is_applied_is_sent(
    store: MemoryStore, clock: FakeClock
) -> None:
    """A cancel that is requested while the progress is written is sent at once."""
    provider, run = FakeProvider(fetch=[HALF_DONE], cancel=[canceled()]), TaskRun(is_resumed=True)

    def request_cancel() -> None:
        store.task = replace(store.task, is_cancel_requested=True)
        run.wake.set()

    store.during["record_progress"] = request_cancel

    ended = await PollSteps(worker_context(store, provider, clock), run).until_ended(store.task)

    assert (ended.status, provider.calls) == (TaskStatus.FAILED, ["fetch", "cancel"])
    assert clock.elapsed_s == 0.0


async def test_a_webhook_hides_no_cancel(store: MemoryStore, clock: FakeClock) -> None:
    """A cancel that is pending when a webhook is applied is sent at once."""
    provider, run = FakeProvider(fetch=[HALF_DONE], cancel=[canceled()]), TaskRun(is_resumed=True)
    store.task = replace(store.task, is_cancel_requested=True)
    run.report(HALF_DONE)

    ended = await PollSteps(worker_context(store, provider, clock), run).until_ended(store.task)

    assert (ended.status, provider.calls) == (TaskStatus.FAILED, ["cancel"])
    assert clock.elapsed_s == 0.0
