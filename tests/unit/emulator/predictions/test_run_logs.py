"""The logs of a run."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from phoenix_compat.emulator.predictions.run_logs import logs_at
from phoenix_compat.emulator.schedule import LogsKind, Schedule
from tests.unit.emulator.factories import CREATED_AT_S, make_prediction

BAR = re.compile(r"(\d{1,3})%\|[^|]*\| (\d+)/(\d+) \[")


def logs_after(model: str, seconds: float, logs: LogsKind = LogsKind.MODEL) -> str | None:
    prediction = make_prediction(model, Schedule(1, 10, logs=logs))
    return logs_at(prediction, prediction.at(CREATED_AT_S + seconds))


@pytest.mark.parametrize("seconds", [0, 5, 12])
def test_imagen_logs_nothing(seconds: float) -> None:
    """A model without steps leaves its logs empty."""
    assert logs_after("google/imagen-4-fast", seconds) == ""


def test_flux_logs_its_steps() -> None:
    """In the middle of the run the last progress bar shows half of the steps."""
    logs = logs_after("black-forest-labs/flux-schnell", 6)

    assert logs is not None
    assert BAR.findall(logs)[-1] == ("50", "2", "4")


def test_logs_are_cumulative() -> None:
    """Each later text starts with the earlier one."""
    texts = [logs_after("stability-ai/sdxl:" + "a" * 64, tenth / 10) for tenth in range(10, 130)]

    assert all(
        later and earlier and later.startswith(earlier.rstrip("\n"))
        for earlier, later in pairwise(texts)
    )


def test_a_success_reports_its_images() -> None:
    """The last line of a finished run has the number of safe images."""
    logs = logs_after("black-forest-labs/flux-schnell", 12)

    assert logs is not None
    assert logs.endswith(
        "100%|██████████| 4/4 [00:10<00:00,  0.40it/s]\nTotal safe images: 1 out of 1\n"
    )


def test_the_logs_of_faults() -> None:
    """The logs are null, one line that is overwritten, or 5 MB."""
    assert logs_after("google/imagen-4-fast", 5, LogsKind.NULL) is None
    overwritten = logs_after("google/imagen-4-fast", 5, LogsKind.CARRIAGE_RETURNS)
    assert overwritten is not None
    assert "\n" not in overwritten
    assert overwritten.count("\r") > 2
    assert len(logs_after("google/imagen-4-fast", 5, LogsKind.HUGE) or "") >= 5 * 2**20
