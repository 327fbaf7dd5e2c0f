"""When nothing works: one task finds out, the others wait, and one at a time goes to see."""

from __future__ import annotations

from pathlib import Path

from phoenix_compat.tasks.model.errors import ProviderRefusedError, ProviderUnreachableError
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT, BreakerOptions, BreakerState
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import FakeClock, FakeProvider, ref, succeeded
from tests.integration.worker.worker_harness import Workshop, code_of, open_workshop

REFUSED = ProviderRefusedError(401, ACCOUNT, "The image service is not available.")
UNREACHABLE = ProviderUnreachableError("refused")
ONE_BY_ONE = WorkerOptions(concurrency=4)


async def all_ended(workshop: Workshop, count: int) -> list[object]:
    """So many tasks, added before the worker starts: the code of each in the end, or None."""
    tasks = [await workshop.add() for _ in range(count)]
    await workshop.worker.start()
    ended = [await workshop.ended(task) for task in tasks]
    return [None if task.status is TaskStatus.COMPLETED else code_of(task) for task in ended]


async def test_a_revoked_token_fails_one_task(path: Path, clock: FakeClock) -> None:
    """The first says so; the others wait until the account works."""
    refs = [ref(f"p-{n}") for n in range(9)]
    provider = FakeProvider(submit=[REFUSED, REFUSED, REFUSED, *refs], fetch=[succeeded()])
    options = WorkerOptions(concurrency=1)
    async with open_workshop(path, provider, clock, options, is_started=False) as workshop:
        codes = await all_ended(workshop, 6)

        assert codes == [ACCOUNT, None, None, None, None, None]
        assert provider.count("submit") == 3 + 5
        assert clock.elapsed_s >= 30.0 + 60.0
        assert workshop.worker.provider_state.circuit is BreakerState.CLOSED


class Forbidden(FakeProvider):
    """One model is forbidden, the others work."""

    async def submit(self, task: Task) -> PredictionRef:
        """See `Provider`."""
        if task.model == "you/private":
            raise REFUSED
        return await super().submit(task)


async def test_one_forbidden_model_blocks_nobody(path: Path, clock: FakeClock) -> None:
    """A task that is always refused is not the probe each time: another one closes the circuit."""
    provider = Forbidden(submit=[ref(f"p-{n}") for n in range(9)], fetch=[succeeded()])
    options = WorkerOptions(concurrency=1)
    async with open_workshop(path, provider, clock, options, is_started=False) as workshop:
        forbidden = [await workshop.add(model="you/private") for _ in range(3)]
        allowed = [await workshop.add() for _ in range(3)]
        await workshop.worker.start()

        for task in allowed:
            assert (await workshop.ended(task)).status is TaskStatus.COMPLETED
        assert [code_of(await workshop.ended(task)) for task in forbidden] == [ACCOUNT] * 3


async def test_waiting_tasks_look_as_before(path: Path, clock: FakeClock) -> None:
    """Nothing is announced of a task that waits, and operators can read why."""
    provider = FakeProvider(submit=[REFUSED])
    options = WorkerOptions(breaker=BreakerOptions(first_probe_s=1e9, probe_limit_s=1e9))
    async with open_workshop(path, provider, clock, options) as workshop:
        await workshop.run()
        clock.has_jumped.clear()
        waiting = await workshop.add()
        await clock.has_jumped.wait()

        state = workshop.worker.provider_state
        assert (state.circuit, state.reason) == (BreakerState.OPEN, ACCOUNT)
        assert (await workshop.now(waiting)).status is not TaskStatus.COMPLETED
        assert all(one["status"] == "processing" for one in workshop.payloads(waiting)[:1])


async def test_waiting_has_an_end(path: Path, clock: FakeClock) -> None:
    """After an hour in vain a task fails with what keeps the circuit open."""
    provider = FakeProvider(submit=[REFUSED])
    async with open_workshop(path, provider, clock, ONE_BY_ONE, is_started=False) as workshop:
        codes = await all_ended(workshop, 30)

        assert set(codes) == {ACCOUNT}
        assert clock.elapsed_s >= 3_600.0
        # One every five minutes at the end, and not thirty.
        assert provider.count("submit") <= 20


async def test_a_provider_that_is_away_keeps_the_tasks(path: Path, clock: FakeClock) -> None:
    """Ten orders in a row that found nobody open the circuit; no task fails for it."""
    refs = [ref(f"p-{n}") for n in range(20)]
    provider = FakeProvider(submit=[*([UNREACHABLE] * 14), *refs], fetch=[succeeded()])
    async with open_workshop(path, provider, clock, ONE_BY_ONE, is_started=False) as workshop:
        codes = await all_ended(workshop, 12)

        assert codes == [None] * 12
