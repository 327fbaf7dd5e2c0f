"""Every fault of the emulator that meets the worker: one expected end, and what it may cost.

The number of predictions is what matters most, for each is billed. Faults of files are the
archive's. A fault that is added to the emulator fails this file until it has a row here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from structlog.testing import capture_logs

from phoenix_compat.emulator import FAULTS, Emulator, EmulatorClock, EmulatorSettings
from phoenix_compat.emulator.faults.fault import Stage
from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.provider.replicate import ReplicateProvider
from phoenix_compat.tasks.worker.circuit_breaker import BreakerOptions
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.webhook_harness import LOOKING, reported
from tests.integration.worker.worker_harness import Workshop, code_of, open_workshop
from tests.patience import patient

TOKEN = "r8_canary_that_must_not_be_written"
SETTINGS = EmulatorSettings(speed=100, seed=1, api_token=TOKEN)
PRIVATE = (TOKEN, "data:image", "billing", "insufficient credit", "<!DOCTYPE")

Row: TypeAlias = tuple[str | None, int]
"""The code of the failure (None: it completes), and how many predictions are made."""

DONE: Row = (None, 1)

# Keys are what a prompt asks for: names, with the number of times behind, joined by "+".
TOGETHER: Mapping[str, Row] = {
    # Creates that are refused, are lost before they arrive, or lose their answer.
    "404": ("model_unavailable", 0),
    "413": ("invalid_input", 0),
    "422": ("invalid_input", 0),
    "500x1": DONE,
    "502x1": DONE,
    "503x1": DONE,
    "504x1": DONE,
    "json_listx1": DONE,
    "json_stringx1": DONE,
    "html_200x1": DONE,
    "hangx1": DONE,
    "resetx1": DONE,
    "500": ("provider_unavailable", 0),
    "502": ("provider_unavailable", 0),
    "503": ("provider_unavailable", 0),
    "504": ("provider_unavailable", 0),
    "json_list": ("provider_unavailable", 0),
    "json_string": ("provider_unavailable", 0),
    "html_200": ("unknown_outcome", 0),
    "hang": ("unknown_outcome", 0),
    "reset": ("unknown_outcome", 0),
    "truncatedx1": DONE,
    "cutx1": DONE,
    "invalid_jsonx1": DONE,
    "slow_dripx1": DONE,
    "slow_answerx1": DONE,
    "hang_after": DONE,
    "reset_after": DONE,
    "502_after": DONE,
    "reset_afterx1+list_lag": DONE,
    # Looks that fail are no trouble of the prediction.
    "poll_401x2": DONE,
    "poll_402x2": DONE,
    "poll_403x2": DONE,
    "poll_404x2": DONE,
    "poll_404": ("expired", 1),
    "poll_413x2": DONE,
    "poll_422x2": DONE,
    "poll_500x3": DONE,
    "poll_502x3": DONE,
    "poll_503x3": DONE,
    "poll_504x3": DONE,
    "poll_json_listx2": DONE,
    "poll_json_stringx2": DONE,
    "poll_html_200x2": DONE,
    "poll_hangx1": DONE,
    "poll_resetx3": DONE,
    "poll_truncatedx2": DONE,
    "poll_cutx2": DONE,
    "poll_invalid_jsonx2": DONE,
    "poll_slow_dripx1": DONE,
    "poll_slow_answerx1": DONE,
    # Outcomes; the platform's own failures are ordered again, twice at most.
    "slow_start": DONE,
    "E005": ("content_policy", 1),
    "PA": ("provider_unavailable", 3),
    "E003": ("provider_unavailable", 3),
    "director": ("provider_unavailable", 3),
    "error_null": ("model_failed", 2),
    "aborted": ("canceled", 1),
    "canceled": ("canceled", 1),
    "status_queued": DONE,
    "status_expired": ("model_failed", 2),
    "output_null": ("empty_output", 1),
    "output_empty": ("empty_output", 1),
    "output_data_url": ("unsupported_output", 1),
    "output_dict": DONE,
    "output_two": DONE,
    "logs_null": DONE,
    "logs_cr": DONE,
    "logs_huge": DONE,
    "clock_ahead": DONE,
    "clock_behind": DONE,
}

# These change how the whole worker goes on, so each has one for itself; its clock jumps.
ALONE: Mapping[str, Row] = {
    "401": ("provider_account", 0),
    "402": ("provider_account", 0),
    "403": ("provider_account", 0),
    "429x2": DONE,
    "429_bodyx2": DONE,
    "429_headerx2": DONE,
    "429_hugex2": DONE,
    "429_zerox2": DONE,
    "poll_429x2": DONE,
    "poll_429_bodyx2": DONE,
    "poll_429_headerx2": DONE,
    "poll_429_hugex1": DONE,
    "poll_429_zerox2": DONE,
}

# They need a deadline that a test can wait for.
ENDLESS: Mapping[str, Row] = {
    "stuck_starting": ("timed_out", 1),
    "stuck_processing": ("timed_out", 1),
}

# The prediction never ends; it is canceled.
CANCELED: Mapping[str, Row] = {
    "stuck_processing+cancel_429x1": ("canceled", 1),
    "stuck_processing+cancel_500x1": ("canceled", 1),
    "stuck_processing+cancel_500": ("canceled", 1),
    "stuck_processing+cancel_hangx1": ("canceled", 1),
    "stuck_processing+cancel_resetx1": ("canceled", 1),
}

# A list is asked for no single prompt: these are armed for everybody, so many times.
LISTS: Mapping[str, int] = {"list_429": 1, "list_500": 2, "list_hang": 1, "list_reset": 2}

WEBHOOKS: Mapping[str, Row] = {
    "webhook_duplicate": DONE,
    "webhook_reordered": DONE,
    "webhook_late": DONE,
    "webhook_bad_signature": DONE,
    "webhook_old_timestamp": DONE,
    "webhook_never": DONE,
}

PATIENT = WorkerOptions(
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
    # Many faults at once are no outage here.
    breaker=BreakerOptions(failures=10_000),
)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(SETTINGS) as listening:
        yield listening


@pytest.fixture(autouse=True)
def nothing_private_is_written(
    path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """After each run: no token, data: URL or vendor text in the store's files or in any log."""
    caplog.set_level("DEBUG")
    with capture_logs() as lines:
        yield
    printed = "".join(capsys.readouterr())
    files = [file.read_bytes() for file in path.parent.iterdir() if file.is_file()]
    for secret in PRIVATE:
        assert secret.lower() not in (str(lines) + caplog.text + printed).lower()
        assert all(secret.lower().encode() not in content.lower() for content in files)


@asynccontextmanager
async def open_shop(
    path: Path, emulator: Emulator, options: WorkerOptions = PATIENT, clock: Clock | None = None
) -> AsyncIterator[Workshop]:
    provider = ReplicateProvider(
        token=TOKEN,
        base_url=emulator.base_url,
        read_timeout_s=patient(0.5),
        total_timeout_s=patient(1.0),
    )
    try:
        async with open_workshop(path, provider, clock, options) as workshop:
            yield workshop
    finally:
        await provider.close()


def prompt_for(faults: str) -> str:
    return f"{faults}: " + " ".join(f"#fault:{fault}" for fault in faults.split("+"))


def row_of(task: Task, emulator: Emulator) -> Row:
    """What became of a task, and how many predictions were made of its prompt."""
    prompt = task.provider_input["prompt"]
    predictions = sum(one.prompt == prompt for one in emulator.state.predictions)
    return (None if task.status is TaskStatus.COMPLETED else str(code_of(task)), predictions)


async def ends(
    workshop: Workshop, emulator: Emulator, rows: Mapping[str, Row]
) -> Mapping[str, Row]:
    """Post a task for each row, all at once; what became of them."""
    tasks = {faults: await workshop.add(prompt=prompt_for(faults)) for faults in rows}
    async with asyncio.timeout(patient(40)):
        ended = {faults: await workshop.ended(task) for faults, task in tasks.items()}
    for secret in PRIVATE:
        assert secret.lower() not in str([workshop.payloads(one) for one in ended.values()]).lower()
    return {faults: row_of(task, emulator) for faults, task in ended.items()}


def names(keys: Sequence[str]) -> set[str]:
    """The faults that keys like "reset_afterx1+list_lag" ask for."""
    return {re.sub(r"x\d+$", "", fault) for key in keys for fault in key.split("+")}


def test_every_fault_has_a_row() -> None:
    """A fault of the emulator without an expected end fails here."""
    tables = (TOGETHER, ALONE, ENDLESS, CANCELED, LISTS, WEBHOOKS)
    known = {name for name, fault in FAULTS.items() if fault.stage is not Stage.FILE}

    assert names([key for table in tables for key in table]) == known


async def test_faults_of_one_task(path: Path, emulator: Emulator) -> None:
    """A clear state, a stable code, and no prediction more than declared; all at once."""
    async with open_shop(path, emulator) as workshop:
        assert await ends(workshop, emulator, TOGETHER) == TOGETHER


@pytest.mark.parametrize(("fault", "row"), ALONE.items(), ids=ALONE)
async def test_faults_of_the_account(path: Path, fault: str, row: Row) -> None:
    """A refused account costs nothing; a 429 is a wait, and never a failure."""
    clock = FakeClock()
    # The prediction ages on the worker's clock: else its deadline could come before it has run.
    models_clock = EmulatorClock(lambda: clock.now().timestamp())
    async with (
        Emulator(SETTINGS, clock=models_clock) as emulator,
        open_shop(path, emulator, WorkerOptions(), clock) as workshop,
    ):
        assert await ends(workshop, emulator, {fault: row}) == {fault: row}


async def test_predictions_without_end(path: Path, emulator: Emulator) -> None:
    """At the deadline the prediction is canceled and the task has timed out."""
    options = WorkerOptions(deadline_s=0.4, deadline_grace_s=0.1, poll=PollIntervals(first_s=0.05))
    async with open_shop(path, emulator, options) as workshop:
        assert await ends(workshop, emulator, ENDLESS) == ENDLESS
        assert emulator.state.counts["cancels"] == len(ENDLESS)


async def test_faults_of_a_cancel(path: Path, emulator: Emulator) -> None:
    """The wish is repeated until it is heard; when it never is, the task ends all the same."""
    async with open_shop(path, emulator) as workshop:
        tasks = {faults: await workshop.add(prompt=prompt_for(faults)) for faults in CANCELED}
        for task in tasks.values():
            await workshop.seen_running(task)
            await workshop.worker.cancel(task.id)

        ended = {faults: await workshop.ended(task) for faults, task in tasks.items()}

        assert {faults: row_of(task, emulator) for faults, task in ended.items()} == CANCELED


@pytest.mark.parametrize(("fault", "times"), LISTS.items(), ids=LISTS)
async def test_faults_of_a_list(path: Path, emulator: Emulator, fault: str, times: int) -> None:
    """Looking for a lost order outlives trouble; nothing is ordered meanwhile."""
    emulator.state.faults.arm(fault, times)
    async with open_shop(path, emulator) as workshop:
        rows = {"reset_afterx1": DONE}

        assert await ends(workshop, emulator, rows) == rows
        assert emulator.state.faults.totals[fault] == times


async def test_faults_of_webhooks(path: Path, emulator: Emulator) -> None:
    """However webhooks come, or do not, each task has its picture, once."""
    async with reported(path, emulator, LOOKING, token=TOKEN) as scene:
        assert await ends(scene.workshop, emulator, WEBHOOKS) == WEBHOOKS
        assert all(status < 500 for status in scene.statuses)
