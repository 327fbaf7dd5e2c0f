"""Every fault of the emulator that affects the worker, with its expected outcome.

An outcome is an error code and a number of predictions; each prediction is billed. Faults of files
are tested with the archive. Every fault of the emulator must be in one of the tables here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import pytest
from structlog.testing import capture_logs

from phoenix_compat.emulator import FAULTS, Emulator, EmulatorClock, EmulatorSettings
from phoenix_compat.emulator.faults.fault import Stage
from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.circuit_breaker import BreakerOptions
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from tests.integration.worker.emulator_harness import open_emulator_harness
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.webhook_harness import FAST_POLLS, open_webhook_harness
from tests.integration.worker.worker_harness import WorkerHarness, code_of
from tests.patience import patient

TOKEN = "r8_canary_that_must_not_be_written"
SETTINGS = EmulatorSettings(speed=100, seed=1, api_token=TOKEN)
PRIVATE = (TOKEN, "data:image", "billing", "insufficient credit", "<!DOCTYPE")

Outcome: TypeAlias = tuple[str | None, int]
"""The error code (None if the task is completed), and how many predictions are made."""

COMPLETED: Outcome = (None, 1)

# Keys are faults as a prompt asks for them, joined by "+"; "x2" after a name means twice.
TASK_FAULTS: Mapping[str, Outcome] = {
    # Creates that are refused, or are lost before or after they arrive.
    "404": ("model_unavailable", 0),
    "413": ("invalid_input", 0),
    "422": ("invalid_input", 0),
    "500x1": COMPLETED,
    "502x1": COMPLETED,
    "503x1": COMPLETED,
    "504x1": COMPLETED,
    "json_listx1": COMPLETED,
    "json_stringx1": COMPLETED,
    "html_200x1": COMPLETED,
    "hangx1": COMPLETED,
    "resetx1": COMPLETED,
    "500": ("provider_unavailable", 0),
    "502": ("provider_unavailable", 0),
    "503": ("provider_unavailable", 0),
    "504": ("provider_unavailable", 0),
    "json_list": ("provider_unavailable", 0),
    "json_string": ("provider_unavailable", 0),
    "html_200": ("unknown_outcome", 0),
    "hang": ("unknown_outcome", 0),
    "reset": ("unknown_outcome", 0),
    "truncatedx1": COMPLETED,
    "cutx1": COMPLETED,
    "invalid_jsonx1": COMPLETED,
    "slow_dripx1": COMPLETED,
    "slow_answerx1": COMPLETED,
    "hang_after": COMPLETED,
    "reset_after": COMPLETED,
    "502_after": COMPLETED,
    "reset_afterx1+list_lag": COMPLETED,
    # Failed polls do not affect the prediction.
    "poll_401x2": COMPLETED,
    "poll_402x2": COMPLETED,
    "poll_403x2": COMPLETED,
    "poll_404x2": COMPLETED,
    "poll_404": ("expired", 1),
    "poll_413x2": COMPLETED,
    "poll_422x2": COMPLETED,
    "poll_500x3": COMPLETED,
    "poll_502x3": COMPLETED,
    "poll_503x3": COMPLETED,
    "poll_504x3": COMPLETED,
    "poll_json_listx2": COMPLETED,
    "poll_json_stringx2": COMPLETED,
    "poll_html_200x2": COMPLETED,
    "poll_hangx1": COMPLETED,
    "poll_resetx3": COMPLETED,
    "poll_truncatedx2": COMPLETED,
    "poll_cutx2": COMPLETED,
    "poll_invalid_jsonx2": COMPLETED,
    "poll_slow_dripx1": COMPLETED,
    "poll_slow_answerx1": COMPLETED,
    # Outcomes of predictions; failures of the platform are repeated, at most twice.
    "slow_start": COMPLETED,
    "E005": ("content_policy", 1),
    "PA": ("provider_unavailable", 3),
    "E003": ("provider_unavailable", 3),
    "director": ("provider_unavailable", 3),
    "safety_system": ("content_policy", 1),
    "policies": ("content_policy", 1),
    "queue_limit": ("not_started", 3),
    "error_quotes": ("model_failed", 1),
    "error_null": ("model_failed", 2),
    "aborted": ("not_started", 3),
    "canceled": ("canceled", 1),
    "status_queued": COMPLETED,
    "status_expired": ("model_failed", 2),
    "output_null": ("empty_output", 1),
    "output_empty": ("empty_output", 1),
    "output_data_url": ("unsupported_output", 1),
    "output_dict": COMPLETED,
    "output_two": COMPLETED,
    "output_long_text": ("empty_output", 1),
    "output_many_tokens": ("empty_output", 1),
    "output_odd_text": ("unsupported_output", 1),
    "output_transcript": ("empty_output", 1),
    "output_label": ("empty_output", 1),
    "output_number": ("empty_output", 1),
    "filtered_one": COMPLETED,
    "filtered_black": ("content_policy", 1),
    "logs_quote": COMPLETED,
    "logs_download": COMPLETED,
    "logs_null": COMPLETED,
    "logs_cr": COMPLETED,
    "logs_huge": COMPLETED,
    "clock_ahead": COMPLETED,
    "clock_behind": COMPLETED,
}

# These affect all tasks of a worker, so each has a worker of its own, with a fake clock.
ACCOUNT_FAULTS: Mapping[str, Outcome] = {
    "401": ("provider_account", 0),
    "402x2": COMPLETED,
    "403": ("provider_account", 0),
    "429x2": COMPLETED,
    "429_bodyx2": COMPLETED,
    "429_headerx2": COMPLETED,
    "429_hugex2": COMPLETED,
    "429_zerox2": COMPLETED,
    "poll_429x2": COMPLETED,
    "poll_429_bodyx2": COMPLETED,
    "poll_429_headerx2": COMPLETED,
    "poll_429_hugex1": COMPLETED,
    "poll_429_zerox2": COMPLETED,
}

# These need a short deadline.
STUCK_FAULTS: Mapping[str, Outcome] = {
    "stuck_starting": ("timed_out", 1),
    "stuck_processing": ("timed_out", 1),
}

# The prediction never ends; it is canceled.
CANCEL_FAULTS: Mapping[str, Outcome] = {
    "stuck_processing+cancel_429x1": ("canceled", 1),
    "stuck_processing+cancel_500x1": ("canceled", 1),
    "stuck_processing+cancel_500": ("canceled", 1),
    "stuck_processing+cancel_hangx1": ("canceled", 1),
    "stuck_processing+cancel_resetx1": ("canceled", 1),
}

# A list request belongs to no prompt, so these are armed for all requests, this many times.
LIST_FAULTS: Mapping[str, int] = {"list_429": 1, "list_500": 2, "list_hang": 1, "list_reset": 2}

WEBHOOK_FAULTS: Mapping[str, Outcome] = {
    "webhook_duplicate": COMPLETED,
    "webhook_reordered": COMPLETED,
    "webhook_late": COMPLETED,
    "webhook_bad_signature": COMPLETED,
    "webhook_old_timestamp": COMPLETED,
    "webhook_never": COMPLETED,
}

OPTIONS = WorkerOptions(
    concurrency=100,
    creates_per_s=1_000.0,
    create_burst=1_000.0,
    polls_per_s=1_000.0,
    reconcile_waits_s=(0.05, 0.3, 1.6),
    retry_first_s=0.02,
    retry_limit_s=0.1,
    repeat_first_s=0.02,
    cancel_patience_s=0.5,
    poll=PollIntervals(first_s=0.02, limit_s=0.05),
    # Many faults at once must not open the circuit here.
    breaker=BreakerOptions(failures=10_000),
)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(SETTINGS) as listening:
        yield listening


@pytest.fixture(autouse=True)
def check_nothing_private_is_written(
    path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """Check after each test: no token, data: URL or provider text in the store's files or logs."""
    caplog.set_level("DEBUG")
    with capture_logs() as lines:
        yield
    printed = "".join(capsys.readouterr())
    files = [file.read_bytes() for file in path.parent.iterdir() if file.is_file()]
    for secret in PRIVATE:
        assert secret.lower() not in (str(lines) + caplog.text + printed).lower()
        assert all(secret.lower().encode() not in content.lower() for content in files)


def open_harness(
    path: Path, emulator: Emulator, options: WorkerOptions = OPTIONS, clock: Clock | None = None
) -> AbstractAsyncContextManager[WorkerHarness]:
    return open_emulator_harness(
        path,
        emulator.base_url,
        token=TOKEN,
        options=options,
        clock=clock,
        read_timeout_s=0.5,
    )


def prompt_for(faults: str) -> str:
    return f"{faults}: " + " ".join(f"#fault:{fault}" for fault in faults.split("+"))


def outcome_of(task: Task, emulator: Emulator) -> Outcome:
    """The task's error code, and how many predictions were made for its prompt."""
    prompt = task.provider_input["prompt"]
    predictions = sum(one.prompt == prompt for one in emulator.state.predictions)
    return (None if task.status is TaskStatus.COMPLETED else str(code_of(task)), predictions)


async def run_faults(
    harness: WorkerHarness, emulator: Emulator, faults_of_tasks: Iterable[str]
) -> Mapping[str, Outcome]:
    """Add a task for each key of a table, all at once; returns their outcomes by key."""
    tasks = {faults: await harness.add(prompt=prompt_for(faults)) for faults in faults_of_tasks}
    async with asyncio.timeout(patient(40)):
        ended = {faults: await harness.ended(task) for faults, task in tasks.items()}
    for secret in PRIVATE:
        assert secret.lower() not in str([harness.payloads(one) for one in ended.values()]).lower()
    return {faults: outcome_of(task, emulator) for faults, task in ended.items()}


def fault_names(keys: Sequence[str]) -> set[str]:
    """The names of the faults in keys like "reset_afterx1+list_lag"."""
    return {re.sub(r"x\d+$", "", fault) for key in keys for fault in key.split("+")}


def test_every_fault_is_in_a_table() -> None:
    """The tables together name every fault of the emulator, except those of files and streams."""
    tables = (TASK_FAULTS, ACCOUNT_FAULTS, STUCK_FAULTS, CANCEL_FAULTS, LIST_FAULTS, WEBHOOK_FAULTS)
    elsewhere = {Stage.FILE, Stage.STREAM}
    known = {name for name, fault in FAULTS.items() if fault.stage not in elsewhere}

    assert fault_names([key for table in tables for key in table]) == known


async def test_faults_of_one_task(path: Path, emulator: Emulator) -> None:
    """Many tasks at once, each with another fault, all have their expected outcome."""
    async with open_harness(path, emulator) as harness:
        assert await run_faults(harness, emulator, TASK_FAULTS) == TASK_FAULTS


@pytest.mark.parametrize(("fault", "expected"), ACCOUNT_FAULTS.items(), ids=ACCOUNT_FAULTS)
async def test_faults_of_the_account(path: Path, fault: str, expected: Outcome) -> None:
    """A refused account makes no prediction, and a 429 never fails the task."""
    clock = FakeClock()
    # The prediction ages on the worker's clock, or its deadline could pass before it has run.
    emulator_clock = EmulatorClock(lambda: clock.now().timestamp())
    async with (
        Emulator(SETTINGS, clock=emulator_clock) as emulator,
        open_harness(path, emulator, WorkerOptions(), clock) as harness,
    ):
        assert await run_faults(harness, emulator, [fault]) == {fault: expected}


async def test_predictions_that_never_end(path: Path, emulator: Emulator) -> None:
    """At the deadline the prediction is canceled and the task has timed out."""
    options = WorkerOptions(deadline_s=0.4, deadline_grace_s=0.1, poll=PollIntervals(first_s=0.05))
    async with open_harness(path, emulator, options) as harness:
        assert await run_faults(harness, emulator, STUCK_FAULTS) == STUCK_FAULTS
        assert emulator.state.counts["cancels"] == len(STUCK_FAULTS)


async def test_faults_of_a_cancel(path: Path, emulator: Emulator) -> None:
    """A failed cancel is repeated; if it never succeeds, the task ends all the same."""
    async with open_harness(path, emulator) as harness:
        tasks = {faults: await harness.add(prompt=prompt_for(faults)) for faults in CANCEL_FAULTS}
        for task in tasks.values():
            await harness.seen_running(task)
            await harness.worker.cancel(task.id)

        ended = {faults: await harness.ended(task) for faults, task in tasks.items()}

        assert {
            faults: outcome_of(task, emulator) for faults, task in ended.items()
        } == CANCEL_FAULTS


@pytest.mark.parametrize(("fault", "times"), LIST_FAULTS.items(), ids=LIST_FAULTS)
async def test_faults_of_a_list(path: Path, emulator: Emulator, fault: str, times: int) -> None:
    """A failed lookup of a lost create is repeated, and no create is sent in the meantime."""
    emulator.state.faults.arm(fault, times)
    async with open_harness(path, emulator) as harness:
        outcomes = await run_faults(harness, emulator, ["reset_afterx1"])

        assert outcomes == {"reset_afterx1": COMPLETED}
        assert emulator.state.faults.totals[fault] == times


async def test_faults_of_webhooks(path: Path, emulator: Emulator) -> None:
    """Each task is completed with one prediction, whatever happens to its webhooks."""
    async with open_webhook_harness(path, emulator, FAST_POLLS, token=TOKEN) as webhooks:
        assert await run_faults(webhooks.harness, emulator, WEBHOOK_FAULTS) == WEBHOOK_FAULTS
        assert all(status < 500 for status in webhooks.statuses)
