"""The worker and Replicate's SDK against the emulator, over real HTTP; the faults are elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.provider.replicate import ReplicateProvider
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from tests.integration.worker.worker_harness import FAST, Workshop, code_of, open_workshop
from tests.patience import patient

TOKEN = "r8_made_up"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorSettings(speed=100, seed=1, api_token=TOKEN)) as listening:
        yield listening


@asynccontextmanager
async def open_shop(
    path: Path,
    base_url: str,
    *,
    token: str = TOKEN,
    options: WorkerOptions = FAST,
    read_timeout_s: float = 0.3,
) -> AsyncIterator[Workshop]:
    """A workshop whose provider talks to this address."""
    provider = ReplicateProvider(
        token=token,
        base_url=base_url,
        deadline_s=options.deadline_s,
        read_timeout_s=patient(read_timeout_s),
        total_timeout_s=patient(1.0),
    )
    try:
        async with open_workshop(path, provider, options=options) as workshop:
            yield workshop
    finally:
        await provider.close()


async def run(path: Path, emulator: Emulator, **inputs: object) -> Task:
    async with open_shop(path, emulator.base_url) as workshop:
        return await workshop.run(**inputs)


async def test_the_main_job(path: Path, emulator: Emulator) -> None:
    """A prompt becomes a picture's address, with progress on the way and one prediction."""
    async with open_shop(path, emulator.base_url) as workshop:
        task = await workshop.run(aspect_ratio="16:9")

        payloads = workshop.payloads(task)
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
async def test_other_models_make_pictures_too(
    path: Path, emulator: Emulator, model: str, count: int
) -> None:
    """Models that answer with a string and models that answer with a list end alike."""
    task = await run(path, emulator, model=model, num_outputs=3, seed=7)

    assert task.result_data is not None
    assert task.result_data["model"] == model
    assert len(task.result_data["image_urls"]) == count


async def test_a_bad_token_is_the_operator_s_matter(path: Path, emulator: Emulator) -> None:
    """A token that is refused fails the task neutrally; nothing is made."""
    async with open_shop(path, emulator.base_url, token="r8_wrong") as workshop:
        task = await workshop.run()

        assert code_of(task) == "provider_account"
        assert "r8_" not in str(task.error_data)


async def test_a_refused_connection_ends_as_unavailable(path: Path, unused_tcp_port: int) -> None:
    """Nobody listens: tried again as often as declared, then a clear end."""
    async with open_shop(path, f"http://127.0.0.1:{unused_tcp_port}/v1") as workshop:
        task = await workshop.run()

        assert code_of(task) == "provider_unavailable"
        assert task.connect_failures == FAST.max_connect_failures - 1


async def test_a_picture_that_never_comes_times_out(path: Path, emulator: Emulator) -> None:
    """At the deadline the prediction is canceled, by the provider and by us."""
    options = WorkerOptions(deadline_s=0.3, deadline_grace_s=0.1, poll=PollIntervals(first_s=0.05))
    async with open_shop(path, emulator.base_url, options=options) as workshop:
        task = await workshop.run(prompt="monk #fault:stuck_processing")

        assert code_of(task) == "timed_out"
        assert emulator.state.counts["cancels"] == 1


async def test_a_running_prediction_can_be_canceled(path: Path, emulator: Emulator) -> None:
    """The cancel reaches the provider and ends the task."""
    async with open_shop(path, emulator.base_url) as workshop:
        task = await workshop.add(prompt="monk #fault:stuck_processing")
        await workshop.seen_running(task)

        await workshop.worker.cancel(task.id)

        assert code_of(await workshop.ended(task)) == "canceled"
        assert emulator.state.counts["cancels"] == 1


async def test_a_restart_finishes_what_runs(path: Path, emulator: Emulator) -> None:
    """A second server takes up the prediction of the first; it is made once."""
    async with open_shop(path, emulator.base_url) as first:
        task = await first.add(prompt="monk #fault:slow_start")
        await first.seen_running(task)

    async with open_shop(path, emulator.base_url) as second:
        assert (await second.ended(task)).status is TaskStatus.COMPLETED
        assert emulator.state.counts["created"] == 1


async def test_many_tasks_at_once_all_end(path: Path, emulator: Emulator) -> None:
    """Thirty tasks, some with faults, share the worker and end each as it should."""
    prompts = ["monk", "monk #fault:E005", "monk #fault:reset_afterx1"] * 10
    async with open_shop(path, emulator.base_url, read_timeout_s=5.0) as workshop:
        tasks = [await workshop.add(prompt=f"{n} {text}") for n, text in enumerate(prompts)]

        ended = [await workshop.ended(task) for task in tasks]

        assert [task.status for task in ended] == [
            TaskStatus.COMPLETED,
            TaskStatus.FAILED,
            TaskStatus.COMPLETED,
        ] * 10
        assert emulator.state.counts["created"] == 30
