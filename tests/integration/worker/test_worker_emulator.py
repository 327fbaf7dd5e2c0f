"""The worker and Replicate's SDK against the emulator, over real HTTP.

Most faults of the emulator are tested in `worker_faults`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from tests.integration.worker.emulator_harness import open_emulator_harness
from tests.integration.worker.worker_harness import FAST, code_of

TOKEN = "r8_made_up"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorSettings(speed=100, seed=1, api_token=TOKEN)) as listening:
        yield listening


async def run(path: Path, emulator: Emulator, **inputs: object) -> Task:
    async with open_emulator_harness(path, emulator.base_url, token=TOKEN) as harness:
        return await harness.run(**inputs)


async def test_a_prompt_becomes_a_picture(path: Path, emulator: Emulator) -> None:
    """The task ends with the picture's URL; its progress rises, and one prediction is made."""
    async with open_emulator_harness(path, emulator.base_url, token=TOKEN) as harness:
        task = await harness.run(aspect_ratio="16:9")

        payloads = harness.payloads(task)
        progress = [payload["progress"] for payload in payloads]
        assert progress[0] == 0.1
        assert progress == sorted(progress)
        assert payloads[-1]["result_data"]["image_url"].startswith("http")
        assert emulator.state.counts["created"] == 1


@pytest.mark.parametrize(
    ("model", "count"),
    [
        ("black-forest-labs/flux-dev", 3),
        ("black-forest-labs/flux-1.1-pro", 1),
        ("google/nano-banana-2", 1),
        ("stability-ai/sdxl", 3),
    ],
)
async def test_other_models_make_pictures(
    path: Path, emulator: Emulator, model: str, count: int
) -> None:
    """The results of models with a string and with a list as output have the same form."""
    task = await run(path, emulator, model=model, num_outputs=3, seed=7)

    assert task.result_data is not None
    assert task.result_data["model"] == model
    assert len(task.result_data["image_urls"]) == count


async def test_an_invalid_token_is_not_shown_to_clients(path: Path, emulator: Emulator) -> None:
    """The task fails with provider_account, and its error contains no part of the token."""
    async with open_emulator_harness(path, emulator.base_url, token="r8_wrong") as harness:
        task = await harness.run()

        assert code_of(task) == "provider_account"
        assert "r8_" not in str(task.error_data)


async def test_a_refused_connection_means_unavailable(path: Path, unused_tcp_port: int) -> None:
    """If nothing listens on the port, the task fails after `max_connect_failures` creates."""
    async with open_emulator_harness(
        path, f"http://127.0.0.1:{unused_tcp_port}/v1", token=TOKEN
    ) as harness:
        task = await harness.run()

        assert code_of(task) == "provider_unavailable"
        assert task.connect_failures == FAST.max_connect_failures - 1


async def test_a_prediction_that_never_ends_times_out(path: Path, emulator: Emulator) -> None:
    """At the deadline the worker cancels the prediction."""
    options = WorkerOptions(deadline_s=0.3, deadline_grace_s=0.1, poll=PollIntervals(first_s=0.05))
    async with open_emulator_harness(
        path, emulator.base_url, options=options, token=TOKEN
    ) as harness:
        task = await harness.run(prompt="monk #fault:stuck_processing")

        assert code_of(task) == "timed_out"
        assert emulator.state.counts["cancels"] == 1


async def test_a_running_prediction_can_be_canceled(path: Path, emulator: Emulator) -> None:
    """The cancel reaches the provider and ends the task."""
    async with open_emulator_harness(path, emulator.base_url, token=TOKEN) as harness:
        task = await harness.add(prompt="monk #fault:stuck_processing")
        await harness.seen_running(task)

        await harness.worker.cancel(task.id)

        assert code_of(await harness.ended(task)) == "canceled"
        assert emulator.state.counts["cancels"] == 1


async def test_a_restart_continues_a_running_prediction(path: Path, emulator: Emulator) -> None:
    """A second worker completes the task of the first with the same prediction."""
    async with open_emulator_harness(path, emulator.base_url, token=TOKEN) as first:
        task = await first.add(prompt="monk #fault:slow_start")
        await first.seen_running(task)

    async with open_emulator_harness(path, emulator.base_url, token=TOKEN) as second:
        assert (await second.ended(task)).status is TaskStatus.COMPLETED
        assert emulator.state.counts["created"] == 1


async def test_many_tasks_at_once_all_end(path: Path, emulator: Emulator) -> None:
    """Of thirty tasks at once, each ends as it would alone, whatever faults the others meet."""
    prompts = ["monk", "monk #fault:E005", "monk #fault:reset_afterx1"] * 10
    async with open_emulator_harness(
        path, emulator.base_url, read_timeout_s=5.0, token=TOKEN
    ) as harness:
        tasks = [await harness.add(prompt=f"{n} {text}") for n, text in enumerate(prompts)]

        ended = [await harness.ended(task) for task in tasks]

        assert [task.status for task in ended] == [
            TaskStatus.COMPLETED,
            TaskStatus.FAILED,
            TaskStatus.COMPLETED,
        ] * 10
        assert emulator.state.counts["created"] == 30
