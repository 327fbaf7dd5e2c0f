"""Repeated creates: after failures of the platform, and with another model for a missing one."""

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
from tests.integration.worker.worker_harness import (
    cancel_held,
    code_of,
    open_worker_harness,
    report_when_queued_again,
)

INTERRUPTED = failed("Prediction interrupted; please retry (code: PA)")
NO_REASON = failed("")
MODEL_UNAVAILABLE = ProviderRefusedError(422, "model_unavailable", "This model is not available.")
UNCERTAIN = ProviderUncertainError("reset")


async def test_an_interrupted_prediction_is_created_again(path: Path, clock: FakeClock) -> None:
    """The client sees one task whose progress does not fall; the row counts the repeat."""
    provider = FakeProvider(
        submit=[ref("p-1"), ref("p-2")], fetch=[active(), INTERRUPTED, succeeded()]
    )
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert (task.status, task.retries, task.prediction_id) == (
            TaskStatus.COMPLETED,
            1,
            "p-2",
        )
        progress = [payload["progress"] for payload in harness.payloads(task)]
        assert progress == sorted(progress)
        assert harness.worker.counts == {"repeats": 1}
        assert clock.elapsed_s >= WorkerOptions().repeat_first_s


@pytest.mark.parametrize(
    ("answer", "creates", "code"),
    [
        (INTERRUPTED, 3, "provider_unavailable"),
        (failed("(E003) high demand"), 3, "provider_unavailable"),
        (failed("Director: unexpected error (E9828)"), 3, "provider_unavailable"),
        (failed("E6716: timed out while starting"), 2, "provider_unavailable"),
        (NO_REASON, 2, "model_failed"),
        (failed("flagged as sensitive (E005)"), 1, "content_policy"),
        (succeeded([]), 1, "empty_output"),
    ],
)
async def test_repeats_are_bounded(
    path: Path, clock: FakeClock, answer: PredictionSnapshot, creates: int, code: str
) -> None:
    """Each reason allows its number of repeats, at most two; then the task fails with its code."""
    provider = FakeProvider(submit=[ref(f"p-{n}") for n in range(4)], fetch=[answer])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert code_of(task) == code
        assert (provider.count("submit"), task.retries) == (creates, creates - 1)


async def test_repeats_can_be_switched_off(path: Path, clock: FakeClock) -> None:
    """With `max_repeats=0` a failed prediction fails the task."""
    provider = FakeProvider(submit=[ref()], fetch=[INTERRUPTED])
    async with open_worker_harness(path, provider, clock, WorkerOptions(max_repeats=0)) as harness:
        assert code_of(await harness.run()) == "provider_unavailable"
        assert provider.count("submit") == 1


async def test_a_lost_repeat_does_not_adopt_the_failed_prediction(
    path: Path, clock: FakeClock
) -> None:
    """If the answer to a repeat is lost, a lookup skips the prediction that failed before."""
    provider = FakeProvider(
        submit=[ref("p-1"), UNCERTAIN],
        find=[[ref("p-1")], [ref("p-1"), ref("p-2")]],
        fetch=[INTERRUPTED, succeeded()],
    )
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert (task.status, task.prediction_id) == (TaskStatus.COMPLETED, "p-2")
        assert provider.count("submit") == 2


async def test_a_late_webhook_of_a_failed_prediction_does_not_stop_a_repeat(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook that names the failed prediction is not adopted; the repeat's create is sent."""
    provider = FakeProvider(submit=[ref("p-1"), ref("p-2")], fetch=[INTERRUPTED, succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        report_when_queued_again(harness, INTERRUPTED, monkeypatch)

        task = await harness.run()

        assert (task.status, task.prediction_id) == (TaskStatus.COMPLETED, "p-2")
        assert provider.count("submit") == 2


async def test_a_lost_repeat_is_sent_once_more(path: Path, clock: FakeClock) -> None:
    """Repeats do not count towards `max_resubmits`."""
    provider = FakeProvider(
        submit=[ref("p-1"), UNCERTAIN, ref("p-2")], find=[[]], fetch=[INTERRUPTED, succeeded()]
    )
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.run()

        assert (task.status, task.attempts, task.retries) == (TaskStatus.COMPLETED, 3, 1)


async def test_a_canceled_task_is_not_created_again(path: Path, clock: FakeClock) -> None:
    """A failure that would be repeated ends a task whose cancel was requested."""
    provider = FakeProvider(submit=[ref()], fetch=[INTERRUPTED], cancel=[INTERRUPTED])
    provider.held = "fetch"
    async with open_worker_harness(path, provider, clock) as harness:
        task = await cancel_held(harness, provider)

        assert code_of(await harness.ended(task)) == "canceled"
        assert provider.count("submit") == 1


class MissingModelsProvider(FakeProvider):
    """Refuses creates for some models.

    Attributes:
        submitted: the tasks whose creates it received, in order.
    """

    def __init__(self, *models: str) -> None:
        super().__init__(submit=[ref()], fetch=[succeeded()])
        self.submitted: list[Task] = []
        self._missing = models

    async def submit(self, task: Task) -> PredictionRef:
        """See `Provider`."""
        self.submitted.append(task)
        if task.running_model in self._missing:
            raise MODEL_UNAVAILABLE
        return await super().submit(task)


async def test_a_fallback_model_is_used(path: Path, clock: FakeClock) -> None:
    """The result names the model that ran, and the row names those that were not available."""
    provider = MissingModelsProvider("google/imagen-4-fast", "google/nano-banana-2")
    options = WorkerOptions(
        fallback_models=("google/nano-banana-2", "black-forest-labs/flux-schnell")
    )
    async with open_worker_harness(path, provider, clock, options) as harness:
        task = await harness.run(seed=7, safety_filter_level="block_only_high")

        assert task.result_data is not None
        assert task.result_data["model"] == "black-forest-labs/flux-schnell"
        assert task.model == "google/imagen-4-fast"
        assert task.models_tried == ("google/imagen-4-fast", "google/nano-banana-2")
        assert [submitted.provider_input for submitted in provider.submitted] == [
            {"prompt": "Medieval monk", "safety_filter_level": "block_only_high"},
            {"prompt": "Medieval monk", "safety_filter_level": "block_only_high"},
            {"prompt": "Medieval monk", "seed": 7},
        ]
        assert task.attempts == 1


async def test_a_task_without_an_available_model_fails(path: Path, clock: FakeClock) -> None:
    """Each model is tried once."""
    provider = MissingModelsProvider("google/imagen-4-fast", "google/nano-banana-2")
    options = WorkerOptions(fallback_models=("google/nano-banana-2", "google/imagen-4-fast"))
    async with open_worker_harness(path, provider, clock, options) as harness:
        assert code_of(await harness.run()) == "model_unavailable"
        assert len(provider.submitted) == 2


async def test_a_task_type_has_its_own_fallback_models(path: Path, clock: FakeClock) -> None:
    """The list of the task type is used instead of the worker's option."""
    provider = MissingModelsProvider("google/imagen-4-fast")
    options = WorkerOptions(fallback_models=("google/nano-banana-2",))
    async with open_worker_harness(path, provider, clock, options, is_started=False) as harness:
        task_types = harness.worker.runs.context.task_types
        image = replace(task_types["image"], fallback_models=("recraft-ai/recraft-v3",))
        runs = harness.worker.runs
        runs.context = replace(runs.context, task_types={"image": image})
        await harness.worker.start()

        task = await harness.run()

        assert task.running_model == "recraft-ai/recraft-v3"
