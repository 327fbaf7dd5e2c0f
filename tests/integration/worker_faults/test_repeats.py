"""Ordering again: after the platform's own failures, and another model for one that is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import ProviderRefusedError, ProviderUncertainError
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import (
    FakeClock,
    FakeProvider,
    active,
    failed,
    ref,
    succeeded,
)
from tests.integration.worker.worker_harness import cancel_held, code_of, open_workshop

PA = failed("Prediction interrupted; please retry (code: PA)")
NO_REASON = failed("")
GONE = ProviderRefusedError(422, "model_unavailable", "This model is not available.")
UNCERTAIN = ProviderUncertainError("reset")


async def test_an_interrupted_prediction_is_ordered_again(path: Path, clock: FakeClock) -> None:
    """The client sees one task that goes on; the row counts the repeat."""
    provider = FakeProvider(submit=[ref("p-1"), ref("p-2")], fetch=[active(), PA, succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert (task.status, task.retries, task.prediction_id) == (
            TaskStatus.COMPLETED,
            1,
            "p-2",
        )
        progress = [payload["progress"] for payload in workshop.payloads(task)]
        assert progress == sorted(progress)
        assert workshop.worker.counts == {"repeats": 1}
        assert clock.elapsed_s >= WorkerOptions().repeat_first_s


@pytest.mark.parametrize(
    ("answer", "orders", "code"),
    [
        (PA, 3, "provider_unavailable"),
        (failed("(E003) high demand"), 3, "provider_unavailable"),
        (failed("Director: unexpected error (E9828)"), 3, "provider_unavailable"),
        (failed("E6716: timed out while starting"), 2, "provider_unavailable"),
        (NO_REASON, 2, "model_failed"),
        (failed("flagged as sensitive (E005)"), 1, "content_policy"),
        (succeeded([]), 1, "empty_output"),
    ],
)
async def test_repeats_are_bounded(
    path: Path, clock: FakeClock, answer: PredictionSnapshot, orders: int, code: str
) -> None:
    """As often as the reason is worth it, twice at most; then the task fails with it."""
    provider = FakeProvider(submit=[ref(f"p-{n}") for n in range(4)], fetch=[answer])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert code_of(task) == code
        assert (provider.count("submit"), task.retries) == (orders, orders - 1)


async def test_repeats_can_be_switched_off(path: Path, clock: FakeClock) -> None:
    """Each repeat may cost money, so the operator decides."""
    provider = FakeProvider(submit=[ref()], fetch=[PA])
    async with open_workshop(path, provider, clock, WorkerOptions(max_repeats=0)) as workshop:
        assert code_of(await workshop.run()) == "provider_unavailable"
        assert provider.count("submit") == 1


async def test_a_repeat_is_not_taken_for_a_lost_order(path: Path, clock: FakeClock) -> None:
    """A repeat whose answer is lost is looked for, and the prediction that failed is not it."""
    provider = FakeProvider(
        submit=[ref("p-1"), UNCERTAIN],
        find=[[ref("p-1")], [ref("p-1"), ref("p-2")]],
        fetch=[PA, succeeded()],
    )
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert (task.status, task.prediction_id) == (TaskStatus.COMPLETED, "p-2")
        assert provider.count("submit") == 2


async def test_a_lost_repeat_is_sent_as_often_as_any_order(path: Path, clock: FakeClock) -> None:
    """Repeats do not use up what an order that vanished is allowed."""
    provider = FakeProvider(
        submit=[ref("p-1"), UNCERTAIN, ref("p-2")], find=[[]], fetch=[PA, succeeded()]
    )
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.run()

        assert (task.status, task.attempts, task.retries) == (TaskStatus.COMPLETED, 3, 1)


async def test_a_canceled_task_is_not_ordered_again(path: Path, clock: FakeClock) -> None:
    """A failure that would be repeated ends the task when the client wants it ended."""
    provider = FakeProvider(submit=[ref()], fetch=[PA], cancel=[PA])
    provider.held = "fetch"
    async with open_workshop(path, provider, clock) as workshop:
        task = await cancel_held(workshop, provider)

        assert code_of(await workshop.ended(task)) == "canceled"
        assert provider.count("submit") == 1


class Gone(FakeProvider):
    """Knows some models no more; notes what was ordered."""

    def __init__(self, *models: str) -> None:
        super().__init__(submit=[ref()], fetch=[succeeded()])
        self.gone = models
        self.ordered: list[Task] = []

    async def submit(self, task: Task) -> PredictionRef:
        """See `Provider`."""
        self.ordered.append(task)
        if task.running_model in self.gone:
            raise GONE
        return await super().submit(task)


async def test_another_model_steps_in(path: Path, clock: FakeClock) -> None:
    """The result names the model that ran, and the row those that could not be had."""
    provider = Gone("google/imagen-4-fast", "google/nano-banana-2")
    options = WorkerOptions(
        fallback_models=("google/nano-banana-2", "black-forest-labs/flux-schnell")
    )
    async with open_workshop(path, provider, clock, options) as workshop:
        task = await workshop.run(seed=7, safety_filter_level="block_only_high")

        assert task.result_data is not None
        assert task.result_data["model"] == "black-forest-labs/flux-schnell"
        assert task.model == "google/imagen-4-fast"
        assert task.models_tried == ("google/imagen-4-fast", "google/nano-banana-2")
        assert [order.provider_input for order in provider.ordered] == [
            {"prompt": "Medieval monk", "safety_filter_level": "block_only_high"},
            {"prompt": "Medieval monk", "safety_filter_level": "block_only_high"},
            {"prompt": "Medieval monk", "seed": 7},
        ]
        assert task.attempts == 1


async def test_when_all_models_are_gone_the_task_fails(path: Path, clock: FakeClock) -> None:
    """Each is asked for once."""
    provider = Gone("google/imagen-4-fast", "google/nano-banana-2")
    options = WorkerOptions(fallback_models=("google/nano-banana-2", "google/imagen-4-fast"))
    async with open_workshop(path, provider, clock, options) as workshop:
        assert code_of(await workshop.run()) == "model_unavailable"
        assert len(provider.ordered) == 2


async def test_a_kind_has_its_own_list(path: Path, clock: FakeClock) -> None:
    """A kind's list counts in place of the setting."""
    provider = Gone("google/imagen-4-fast")
    options = WorkerOptions(fallback_models=("google/nano-banana-2",))
    async with open_workshop(path, provider, clock, options, is_started=False) as workshop:
        task_types = workshop.worker._context.task_types
        own = replace(task_types["image"], fallback_models=("recraft-ai/recraft-v3",))
        workshop.worker._context = replace(workshop.worker._context, task_types={"image": own})
        await workshop.worker.start()

        task = await workshop.run()

        assert task.running_model == "recraft-ai/recraft-v3"
