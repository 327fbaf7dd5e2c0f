"""Placing orders with a scripted provider: refused, put off, never sent, lost and found."""

from __future__ import annotations

from pathlib import Path

from phoenix_compat.tasks.model.errors import (
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import (
    FakeClock,
    FakeProvider,
    ref,
    succeeded,
)
from tests.integration.worker.worker_harness import code_of, open_workshop

UNREACHABLE = ProviderUnreachableError("refused")
UNCERTAIN = ProviderUncertainError("reset")


async def test_a_refused_order_fails_with_its_code(path: Path, clock: FakeClock) -> None:
    """A no is final, and its text is the one made for clients."""
    refusal = ProviderRefusedError(402, "provider_account", "Please contact the operator.")
    provider = FakeProvider(submit=[refusal])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert task.error_data == {
            "error": "Please contact the operator.",
            "code": "provider_account",
        }
        assert provider.calls == ["submit"]


async def test_a_throttled_order_waits_and_costs_nothing(path: Path, clock: FakeClock) -> None:
    """429 is a wait: the task queues again, spends no attempt, and never goes backwards."""
    throttled = ProviderThrottledError(30.0)
    provider = FakeProvider(submit=[throttled, throttled, ref()], fetch=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert task.status is TaskStatus.COMPLETED
        assert task.attempts == 1
        assert clock.elapsed_s >= 60.0
        progress = [payload["progress"] for payload in workshop.payloads(task)]
        assert progress == [0.1, 1.0]


async def test_a_throttle_holds_back_the_other_tasks(path: Path, clock: FakeClock) -> None:
    """After a 429 no other order is sent until the wait is over."""
    provider = FakeProvider(
        submit=[ProviderThrottledError(30.0), ref("p-1"), ref("p-2")], fetch=[succeeded()]
    )
    options = WorkerOptions(concurrency=1)
    async with open_workshop(path, provider, clock, options) as workshop:
        one, two = await workshop.add(), await workshop.add()

        # The first went again before the second went at all.
        assert (await workshop.ended(two)).prediction_id == "p-2"
        assert (await workshop.ended(one)).prediction_id == "p-1"
        assert clock.elapsed_s >= 30.0
        assert provider.count("submit") == 3


async def test_an_order_that_was_never_sent_is_repeated(path: Path, clock: FakeClock) -> None:
    """No connection, no prediction: trying again is safe and is not counted as an attempt."""
    provider = FakeProvider(submit=[UNREACHABLE, UNREACHABLE, ref()], fetch=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 1)
        assert provider.count("find") == 0


async def test_a_provider_that_stays_away_fails_the_task(path: Path, clock: FakeClock) -> None:
    """Trying ends after so many times, with waits that grow in between."""
    provider = FakeProvider(submit=[UNREACHABLE])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert code_of(task) == "provider_unavailable"
        assert provider.count("submit") == WorkerOptions().max_connect_failures
        assert clock.elapsed_s >= 60.0


async def test_a_lost_answer_is_looked_for(path: Path, clock: FakeClock) -> None:
    """An order that may have arrived is found by its fingerprint and adopted: one create."""
    provider = FakeProvider(submit=[UNCERTAIN], find=[[], [ref("p-7")]], fetch=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert (task.status, task.prediction_id) == (TaskStatus.COMPLETED, "p-7")
        assert provider.count("submit") == 1


async def test_a_lost_order_is_repeated_as_often_as_declared(path: Path, clock: FakeClock) -> None:
    """Three looks find nothing: one more order, and no third."""
    provider = FakeProvider(submit=[UNCERTAIN], find=[[]])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert code_of(task) == "unknown_outcome"
        assert provider.calls == ["submit", "find", "find", "find"] * 2


async def test_a_server_error_is_told_as_such(path: Path, clock: FakeClock) -> None:
    """When the provider did answer, with a 5xx, the client hears that it is unavailable."""
    provider = FakeProvider(submit=[ProviderUncertainError("answered 502", status=502)], find=[[]])
    async with open_workshop(path, provider, clock) as workshop:
        assert code_of(await workshop.run()) == "provider_unavailable"


async def test_looking_outlives_trouble(path: Path, clock: FakeClock) -> None:
    """A look that fails is no look: it is repeated, and nothing is ordered meanwhile."""
    trouble = [UNCERTAIN, UNREACHABLE, ProviderThrottledError(9.0)]
    provider = FakeProvider(submit=[UNCERTAIN], find=[*trouble, [ref()]], fetch=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert task.status is TaskStatus.COMPLETED
        assert provider.count("submit") == 1


async def test_looking_ends_at_the_deadline(path: Path, clock: FakeClock) -> None:
    """When the provider cannot be asked for as long as a prediction may take, it is given up."""
    provider = FakeProvider(submit=[UNCERTAIN], find=[UNREACHABLE])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert code_of(task) == "unknown_outcome"
        assert provider.count("submit") == 1


async def test_twins_do_not_share_a_prediction(path: Path, clock: FakeClock) -> None:
    """Two tasks with one input whose answers are lost adopt one prediction each, oldest first."""
    both = [ref("p-1"), ref("p-2")]
    provider = FakeProvider(submit=[UNCERTAIN], find=[both], fetch=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        tasks = [await workshop.add(), await workshop.add()]

        ended = [await workshop.ended(task) for task in tasks]

        assert {task.prediction_id for task in ended} == {"p-1", "p-2"}
        assert provider.count("submit") == 2


async def test_an_answer_a_twin_has_taken_is_looked_for_again(path: Path, clock: FakeClock) -> None:
    """When another task adopted this order meanwhile, this task adopts the other's."""
    provider = FakeProvider(
        submit=[ref("p-1"), ref("p-1")], find=[[ref("p-1"), ref("p-2")]], fetch=[succeeded()]
    )
    async with open_workshop(path, provider, clock) as workshop:
        one, two = await workshop.run(), await workshop.run()

        assert (one.prediction_id, two.prediction_id) == ("p-1", "p-2")


async def test_waiting_does_not_make_an_order_old(path: Path, clock: FakeClock) -> None:
    """An order that was put off for an hour and then lost is as young as its last sending."""
    put_off = [ProviderThrottledError(300.0)] * 13
    provider = FakeProvider(submit=[*put_off, UNCERTAIN, ref()], find=[[]], fetch=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 2)
