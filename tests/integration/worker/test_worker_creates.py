"""Creates with a fake provider: refused, throttled, not sent, lost and found again."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import (
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.provider.provider import Candidates
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import (
    FakeClock,
    FakeProvider,
    ref,
    succeeded,
)
from tests.integration.worker.worker_harness import (
    code_of,
    open_worker_harness,
    report_when_queued_again,
)

UNREACHABLE = ProviderUnreachableError("refused")
UNCERTAIN = ProviderUncertainError("reset")


async def test_a_refused_create_fails_the_task(path: Path, clock: FakeClock) -> None:
    """The create is not repeated, and the error has the code and the text for clients."""
    refusal = ProviderRefusedError(403, "provider_account", "Please contact the operator.")
    provider = FakeProvider(submit=[refusal])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert task.error_data == {
            "error": "Please contact the operator.",
            "code": "provider_account",
        }
        assert provider.calls == ["submit"]


async def test_a_throttled_create_waits_in_the_queue(path: Path, clock: FakeClock) -> None:
    """A 429 does not count as an attempt, and the progress never falls."""
    throttled = ProviderThrottledError(30.0)
    provider = FakeProvider(submit=[throttled, throttled, ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert task.status is TaskStatus.COMPLETED
        assert task.attempts == 1
        assert clock.elapsed_s >= 60.0
        progress = [payload["progress"] for payload in harness.payloads(task)]
        assert progress == [0.1, 1.0]


async def test_a_throttle_delays_the_other_tasks(path: Path, clock: FakeClock) -> None:
    """After a 429 no other create is sent until the wait is over."""
    provider = FakeProvider(
        submit=[ProviderThrottledError(30.0), ref("p-1"), ref("p-2")], fetch=[succeeded()]
    )
    options = WorkerOptions(concurrency=1)
    async with open_worker_harness(path, provider, clock, options) as harness:
        one, two = await harness.add(), await harness.add()

        # The first create was sent again before the second.
        assert (await harness.ended(two)).prediction_id == "p-2"
        assert (await harness.ended(one)).prediction_id == "p-1"
        assert clock.elapsed_s >= 30.0
        assert provider.count("submit") == 3


async def test_a_create_that_was_not_sent_is_repeated(path: Path, clock: FakeClock) -> None:
    """Without a connection there is no prediction, so no lookup is made and no attempt counted."""
    provider = FakeProvider(submit=[UNREACHABLE, UNREACHABLE, ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 1)
        assert provider.count("find") == 0


async def test_a_provider_that_stays_unreachable_fails_the_task(
    path: Path, clock: FakeClock
) -> None:
    """After `max_connect_failures` creates, with growing waits between them, the task fails."""
    provider = FakeProvider(submit=[UNREACHABLE])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert code_of(task) == "provider_unavailable"
        assert provider.count("submit") == WorkerOptions().max_connect_failures
        assert clock.elapsed_s >= 60.0


async def test_a_prediction_whose_answer_was_lost_is_found(path: Path, clock: FakeClock) -> None:
    """The prediction is found by its fingerprint and adopted; only one create is sent."""
    provider = FakeProvider(submit=[UNCERTAIN], find=[[], [ref("p-7")]], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert (task.status, task.prediction_id) == (TaskStatus.COMPLETED, "p-7")
        assert provider.count("submit") == 1


async def test_a_lost_create_is_repeated_up_to_the_limit(path: Path, clock: FakeClock) -> None:
    """After three lookups that find nothing, the create is sent once more, but no third time."""
    provider = FakeProvider(submit=[UNCERTAIN], find=[[]])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert code_of(task) == "unknown_outcome"
        assert provider.calls == ["submit", "find", "find", "find"] * 2


async def test_a_create_that_may_have_been_found_is_not_repeated(
    path: Path, clock: FakeClock
) -> None:
    """C9: a prediction that may be the task's ends it as unknown; another task's does not count."""
    unclear = Candidates(maybe=[ref("p-7")])
    provider = FakeProvider(submit=[UNCERTAIN], find=[unclear])
    async with open_worker_harness(path, provider, clock) as harness:
        assert code_of(await harness.run()) == "unknown_outcome"
        assert provider.count("submit") == 1

    provider = FakeProvider(
        submit=[ref("p-7"), UNCERTAIN, ref("p-8")], find=[unclear], fetch=[succeeded()]
    )
    async with open_worker_harness(path.with_name("other.db"), provider, clock) as harness:
        await harness.run()
        assert (await harness.run()).prediction_id == "p-8"


async def test_a_webhook_while_a_lost_create_is_queued_again_is_kept(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run adopts the prediction that the webhook names instead of sending a create."""
    provider = FakeProvider(submit=[UNCERTAIN, ref("p-2")], find=[[]], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        report_when_queued_again(harness, succeeded(), monkeypatch)

        task = await harness.run()

        assert (task.status, task.prediction_id) == (TaskStatus.COMPLETED, "p-1")
        assert provider.count("submit") == 1


async def test_a_server_error_means_an_unavailable_provider(path: Path, clock: FakeClock) -> None:
    """If the provider answered a lost create with a 5xx, the code is provider_unavailable."""
    provider = FakeProvider(submit=[ProviderUncertainError("answered 502", status=502)], find=[[]])
    async with open_worker_harness(path, provider, clock) as harness:
        assert code_of(await harness.run()) == "provider_unavailable"


async def test_a_failed_lookup_is_repeated(path: Path, clock: FakeClock) -> None:
    """Failed lookups do not count, and no create is sent in the meantime."""
    errors = [UNCERTAIN, UNREACHABLE, ProviderThrottledError(9.0)]
    provider = FakeProvider(submit=[UNCERTAIN], find=[*errors, [ref()]], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert task.status is TaskStatus.COMPLETED
        assert provider.count("submit") == 1


async def test_lookups_end_at_the_deadline(path: Path, clock: FakeClock) -> None:
    """If every lookup fails for as long as a prediction may take, the task fails."""
    provider = FakeProvider(submit=[UNCERTAIN], find=[UNREACHABLE])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert code_of(task) == "unknown_outcome"
        assert provider.count("submit") == 1


async def test_tasks_with_the_same_input_do_not_share_a_prediction(
    path: Path, clock: FakeClock
) -> None:
    """Two tasks with the same input whose answers are lost adopt one prediction each."""
    refs = [ref("p-1"), ref("p-2")]
    provider = FakeProvider(submit=[UNCERTAIN], find=[refs], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        tasks = [await harness.add(), await harness.add()]

        ended = [await harness.ended(task) for task in tasks]

        assert {task.prediction_id for task in ended} == {"p-1", "p-2"}
        assert provider.count("submit") == 2


async def test_a_prediction_that_another_task_has_adopted_is_replaced(
    path: Path, clock: FakeClock
) -> None:
    """If another task with the same input has the prediction, a lookup finds the other one."""
    provider = FakeProvider(
        submit=[ref("p-1"), ref("p-1")], find=[[ref("p-1"), ref("p-2")]], fetch=[succeeded()]
    )
    async with open_worker_harness(path, provider, clock) as harness:
        one, two = await harness.run(), await harness.run()

        assert (one.prediction_id, two.prediction_id) == ("p-1", "p-2")


async def test_throttling_does_not_age_a_create(path: Path, clock: FakeClock) -> None:
    """A create that was throttled for an hour and then lost is still recent enough to repeat."""
    throttled = [ProviderThrottledError(300.0)] * 13
    provider = FakeProvider(submit=[*throttled, UNCERTAIN, ref()], find=[[]], fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 2)


class SetClock(FakeClock):
    """A clock whose wall time is set two hours ahead after the first wait."""

    def now(self) -> datetime:
        """See Clock."""
        return super().now() + timedelta(hours=2 if self.elapsed_s > 0.0 else 0)


async def test_a_clock_that_is_set_does_not_make_a_create_old(path: Path) -> None:
    """D6: the age of a lost create that this process sent comes from the monotonic clock, so it is
    repeated although the wall clock says that it is too old."""
    provider = FakeProvider(submit=[UNCERTAIN, ref()], find=[[]], fetch=[succeeded()])
    async with open_worker_harness(path, provider, SetClock()) as harness:
        task = await harness.run()

        assert task.status is TaskStatus.COMPLETED
        assert provider.count("submit") == 2
