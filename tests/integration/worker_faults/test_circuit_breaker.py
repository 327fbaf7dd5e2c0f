"""The worker while the provider fails: one task fails, the others wait and probe one at a time."""

from __future__ import annotations

from pathlib import Path

from phoenix_compat.tasks.model.errors import ProviderRefusedError, ProviderUnreachableError
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT, BreakerOptions, BreakerState
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import FakeClock, FakeProvider, ref, succeeded
from tests.integration.worker.worker_harness import WorkerHarness, code_of, open_worker_harness

REFUSED = ProviderRefusedError(401, ACCOUNT, "The image service is not available.")
UNREACHABLE = ProviderUnreachableError("refused")
FOUR_AT_ONCE = WorkerOptions(concurrency=4)


async def run_tasks(harness: WorkerHarness, count: int) -> list[object]:
    """Add tasks, then start the worker; returns each one's error code, None if it completed."""
    tasks = [await harness.add() for _ in range(count)]
    await harness.worker.start()
    ended = [await harness.ended(task) for task in tasks]
    return [None if task.status is TaskStatus.COMPLETED else code_of(task) for task in ended]


async def test_a_revoked_token_fails_one_task(path: Path, clock: FakeClock) -> None:
    """The first task fails; the others wait until the account works again."""
    refs = [ref(f"p-{n}") for n in range(9)]
    provider = FakeProvider(submit=[REFUSED, REFUSED, REFUSED, *refs], fetch=[succeeded()])
    options = WorkerOptions(concurrency=1)
    async with open_worker_harness(path, provider, clock, options, is_started=False) as harness:
        codes = await run_tasks(harness, 6)

        assert codes == [ACCOUNT, None, None, None, None, None]
        assert provider.count("submit") == 3 + 5
        assert clock.elapsed_s >= 30.0 + 60.0
        assert harness.worker.provider_state.circuit is BreakerState.CLOSED


async def test_an_empty_account_fails_no_task(path: Path, clock: FakeClock) -> None:
    """C14: from the first create on, all tasks wait until the account has credit again."""
    empty = ProviderRefusedError(402, ACCOUNT, "The image service is not available.")
    refs = [ref(f"p-{n}") for n in range(9)]
    provider = FakeProvider(submit=[empty, empty, *refs], fetch=[succeeded()])
    options = WorkerOptions(concurrency=1)
    async with open_worker_harness(path, provider, clock, options, is_started=False) as harness:
        assert await run_tasks(harness, 3) == [None, None, None]
        assert provider.count("submit") == 2 + 3


class OneModelRefusedProvider(FakeProvider):
    """Refuses creates for one model and accepts the others."""

    async def submit(self, task: Task) -> PredictionRef:
        """See `Provider`."""
        if task.model == "you/private":
            raise REFUSED
        return await super().submit(task)


async def test_one_refused_model_does_not_block_others(path: Path, clock: FakeClock) -> None:
    """A task that is always refused does not send every probe: another one closes the circuit."""
    refs = [ref(f"p-{n}") for n in range(9)]
    provider = OneModelRefusedProvider(submit=refs, fetch=[succeeded()])
    options = WorkerOptions(concurrency=1)
    async with open_worker_harness(path, provider, clock, options, is_started=False) as harness:
        refused = [await harness.add(model="you/private") for _ in range(3)]
        allowed = [await harness.add() for _ in range(3)]
        await harness.worker.start()

        for task in allowed:
            assert (await harness.ended(task)).status is TaskStatus.COMPLETED
        assert [code_of(await harness.ended(task)) for task in refused] == [ACCOUNT] * 3


async def test_the_provider_state_says_why_tasks_wait(path: Path, clock: FakeClock) -> None:
    """While the circuit is open, waiting tasks are shown as processing, and the state says why."""
    provider = FakeProvider(submit=[REFUSED])
    options = WorkerOptions(breaker=BreakerOptions(first_probe_s=1e9, probe_limit_s=1e9))
    async with open_worker_harness(path, provider, clock, options) as harness:
        await harness.run()
        clock.has_jumped.clear()
        waiting = await harness.add()
        await clock.has_jumped.wait()

        state = harness.worker.provider_state
        assert (state.circuit, state.reason) == (BreakerState.OPEN, ACCOUNT)
        assert (await harness.now(waiting)).status is not TaskStatus.COMPLETED
        assert all(one["status"] == "processing" for one in harness.payloads(waiting)[:1])


async def test_waiting_has_a_limit(path: Path, clock: FakeClock) -> None:
    """Tasks that wait for an hour fail with the error code that keeps the circuit open."""
    provider = FakeProvider(submit=[REFUSED])
    async with open_worker_harness(
        path, provider, clock, FOUR_AT_ONCE, is_started=False
    ) as harness:
        codes = await run_tasks(harness, 30)

        assert set(codes) == {ACCOUNT}
        assert clock.elapsed_s >= 3_600.0
        # Creates are sent only as probes, in the end one every five minutes.
        assert provider.count("submit") <= 20


async def test_tasks_outlast_an_unreachable_provider(path: Path, clock: FakeClock) -> None:
    """Ten creates in a row without a connection open the circuit, and no task fails."""
    refs = [ref(f"p-{n}") for n in range(20)]
    provider = FakeProvider(submit=[*([UNREACHABLE] * 14), *refs], fetch=[succeeded()])
    async with open_worker_harness(
        path, provider, clock, FOUR_AT_ONCE, is_started=False
    ) as harness:
        codes = await run_tasks(harness, 12)

        assert codes == [None] * 12
