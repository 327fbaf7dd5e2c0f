"""The worker and Replicate's SDK against the emulator: real HTTP, every fault, one expected end.

The numbers are what matters: how many predictions were made, for each is billed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.tasks.pace import PollPace, WorkerOptions
from phoenix_compat.tasks.replicate import ReplicateProvider
from phoenix_compat.tasks.task import Task, TaskStatus
from tests.integration.workshop import FAST, Workshop, code_of, open_workshop

TOKEN = "r8_made_up"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorSettings(speed=100, seed=1, api_token=TOKEN)) as listening:
        yield listening


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


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
        read_timeout_s=read_timeout_s,
        total_timeout_s=1.0,
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


# Each fault: the code it ends in (None: completed), and how many predictions were made.
FAULTS = [
    ("E005", "content_policy", 1),
    ("PA", "provider_unavailable", 1),
    ("E003", "provider_unavailable", 1),
    ("director", "provider_unavailable", 1),
    ("error_null", "model_failed", 1),
    ("aborted", "canceled", 1),
    ("canceled", "canceled", 1),
    ("status_queued", None, 1),
    ("status_expired", "model_failed", 1),
    ("output_null", "empty_output", 1),
    ("output_empty", "empty_output", 1),
    ("output_data_url", "unsupported_output", 1),
    ("output_dict", None, 1),
    ("output_two", None, 1),
    ("logs_null", None, 1),
    ("logs_cr", None, 1),
    ("logs_huge", None, 1),
    ("clock_ahead", None, 1),
    ("clock_behind", None, 1),
    ("401", "provider_account", 0),
    ("402", "provider_account", 0),
    ("403", "provider_account", 0),
    ("404", "model_unavailable", 0),
    ("413", "invalid_input", 0),
    ("422", "invalid_input", 0),
    ("429_zerox2", None, 1),
    ("500x1", None, 1),
    ("502x1", None, 1),
    ("503x1", None, 1),
    ("504x1", None, 1),
    ("500", "provider_unavailable", 0),
    ("503", "provider_unavailable", 0),
    ("json_list", "provider_unavailable", 0),
    ("json_string", "provider_unavailable", 0),
    ("html_200x1", None, 1),
    ("html_200", "unknown_outcome", 0),
    ("hangx1", None, 1),
    ("resetx1", None, 1),
    ("reset", "unknown_outcome", 0),
    ("truncatedx1", None, 1),
    ("cutx1", None, 1),
    ("invalid_jsonx1", None, 1),
    ("hang_afterx1", None, 1),
    ("reset_afterx1", None, 1),
    ("502_afterx1", None, 1),
    ("poll_401x2", None, 1),
    ("poll_404x2", None, 1),
    ("poll_404", "expired", 1),
    ("poll_429_zerox2", None, 1),
    ("poll_500x3", None, 1),
    ("poll_502x3", None, 1),
    ("poll_hangx1", None, 1),
    ("poll_resetx3", None, 1),
    ("poll_html_200x2", None, 1),
    ("poll_truncatedx2", None, 1),
    ("poll_json_listx2", None, 1),
]


@pytest.mark.parametrize(("fault", "code", "predictions"), FAULTS)
async def test_every_fault_has_one_end(
    path: Path, emulator: Emulator, fault: str, code: str | None, predictions: int
) -> None:
    """A clear state, a stable code, and no prediction more than needed."""
    task = await run(path, emulator, prompt=f"monk #fault:{fault}")

    if code is None:
        assert task.status is TaskStatus.COMPLETED, task.error_data
    else:
        assert code_of(task) == code
    assert emulator.state.counts["created"] == predictions


async def test_vendor_texts_stay_inside(path: Path, emulator: Emulator) -> None:
    """No billing text, token or data: URL is announced, or kept in any file of the store."""
    async with open_shop(path, emulator.base_url) as workshop:
        for fault in ("401", "402", "E005", "output_data_url"):
            task = await workshop.run(prompt=f"monk #fault:{fault}")
            assert "billing" not in str(workshop.payloads(task))

    kept = b"".join(file.read_bytes() for file in files_beside(path))
    for secret in (b"billing", b"insufficient", b"data:image", TOKEN.encode()):
        assert secret not in kept


def files_beside(path: Path) -> list[Path]:
    return list(path.parent.iterdir())


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
    options = WorkerOptions(deadline_s=0.3, deadline_grace_s=0.1, poll=PollPace(first_s=0.05))
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
