"""The steps of one run: what a stop still finishes, and when a resumed task sends a create."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.tasks.model.errors import ProviderThrottledError, ProviderUncertainError
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.worker.executor import execute
from phoenix_compat.tasks.worker.run_state import TaskRun
from tests.integration.worker.fake_provider import Answer, FakeClock, FakeProvider, ref, succeeded
from tests.unit.tasks.sample_tasks import make_task
from tests.unit.tasks.worker.memory_store import MemoryStore, worker_context


@pytest.mark.parametrize(
    ("answer", "status", "prediction_id"),
    [
        (ref("p-1"), TaskStatus.RUNNING, "p-1"),
        (ProviderUncertainError("reset"), TaskStatus.SUBMITTING, None),
        (ProviderThrottledError(30.0), TaskStatus.QUEUED, None),
    ],
    ids=["accepted", "lost", "throttled"],
)
async def test_a_stopping_run_finishes_its_create_and_begins_no_other_step(
    answer: Answer, status: TaskStatus, prediction_id: str | None
) -> None:
    """The outcome of a create on its way is stored; then nothing is polled or looked up."""
    clock = FakeClock()
    provider = FakeProvider(submit=[answer])
    provider.held = "submit"
    store = MemoryStore(make_task(), clock)
    context = worker_context(store, provider, clock)
    run = TaskRun(is_resumed=False, ticket=context.create_limiter.enter())
    execution = asyncio.create_task(execute(context, run, store.task))
    await asyncio.wait_for(provider.reached.wait(), 5)

    run.is_stopping = True
    provider.release()
    task = await asyncio.wait_for(execution, 5)

    assert (task.status, task.prediction_id) == (status, prediction_id)
    assert task == store.task
    assert provider.calls == ["submit"]
    assert (run.is_creating, run.ticket) == (False, None)


async def test_a_stop_while_the_task_is_marked_as_submitting_still_sends_the_create() -> None:
    """Once the row says "submitting", the create is sent, or the next start would look for it."""
    clock, run = FakeClock(), TaskRun(is_resumed=False)
    provider = FakeProvider(submit=[ref("p-1")])
    store = MemoryStore(make_task(), clock)
    store.during["move"] = lambda: setattr(run, "is_stopping", True)

    task = await execute(worker_context(store, provider, clock), run, store.task)

    assert (task.status, task.prediction_id) == (TaskStatus.RUNNING, "p-1")
    assert provider.calls == ["submit"]


@pytest.mark.parametrize("status", [TaskStatus.QUEUED, TaskStatus.SUBMITTING, TaskStatus.RUNNING])
async def test_a_stopping_run_without_a_create_begins_no_step(status: TaskStatus) -> None:
    """Neither the provider nor the store is called, and the task stays as it is."""
    clock, provider = FakeClock(), FakeProvider()
    store = MemoryStore(make_task(status, prediction_id="p-1"), clock)
    before = store.task
    run = TaskRun(is_resumed=True, is_stopping=True)

    assert await execute(worker_context(store, provider, clock), run, before) is before

    assert (store.task, provider.calls) == (before, [])


async def test_a_task_resumed_in_submitting_is_queued_before_another_create() -> None:
    """The resumed run only looks the prediction up; a create is left to a new run."""
    clock = FakeClock()
    provider = FakeProvider(submit=[ref()], find=[[]])
    task = make_task(TaskStatus.SUBMITTING, attempts=1, submitted_at=clock.now())
    store = MemoryStore(task, clock)

    ended = await execute(worker_context(store, provider, clock), TaskRun(is_resumed=True), task)

    assert (ended.status, ended.attempts) == (TaskStatus.QUEUED, 1)
    assert provider.calls == ["find", "find", "find"]


@pytest.mark.parametrize("is_reported", [False, True], ids=["lookup", "webhook"])
async def test_a_task_resumed_in_submitting_adopts_its_prediction(is_reported: bool) -> None:
    """Whether a lookup or a webhook names the prediction, no create is sent."""
    clock, run = FakeClock(), TaskRun(is_resumed=True)
    provider = FakeProvider(submit=[ref("p-2")], find=[[ref("p-1")]], fetch=[succeeded()])
    task = make_task(TaskStatus.SUBMITTING, attempts=1, submitted_at=clock.now())
    store = MemoryStore(task, clock)
    if is_reported:
        run.report(succeeded())

    ended = await execute(worker_context(store, provider, clock), run, task)

    assert (ended.status, ended.prediction_id) == (TaskStatus.COMPLETED, "p-1")
    assert provider.calls == ([] if is_reported else ["find", "fetch"])
