"""The prediction as a function of time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from phoenix_compat.emulator.schedule import Schedule, Status
from tests.unit.emulator.factories import CREATED_AT_S, make_prediction


def status_after(
    seconds: float, schedule: Schedule | None = None, deadline_s: float | None = None
) -> Status:
    return (
        make_prediction(schedule=schedule, deadline_s=deadline_s).at(CREATED_AT_S + seconds).status
    )


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        (0, "starting"),
        (0.9, "starting"),
        (1, "processing"),
        (10.9, "processing"),
        (11, "succeeded"),
        (1e9, "succeeded"),
    ],
)
def test_a_successful_run(seconds: float, status: str) -> None:
    """It is starting, then processing, then succeeded for good."""
    assert status_after(seconds) == status


@pytest.mark.parametrize("ending", [Status.FAILED, Status.SUCCEEDED, Status.EXPIRED])
def test_the_schedule_decides_the_ending(ending: Status) -> None:
    """When the running time is over, it has the ending of its schedule."""
    assert status_after(11, Schedule(1, 10, ending=ending)) is ending


def test_an_aborted_prediction_never_starts() -> None:
    """It is aborted when the starting time is over, without a started_at."""
    prediction = make_prediction(schedule=Schedule(1, 10, ending=Status.ABORTED))

    moment = prediction.at(CREATED_AT_S + 1)

    assert moment.status is Status.ABORTED
    assert moment.started_at_s is None
    assert moment.completed_at_s == CREATED_AT_S + 1


@pytest.mark.parametrize(
    ("schedule", "status"),
    [(Schedule(math.inf, 10), "starting"), (Schedule(1, math.inf), "processing")],
)
def test_a_stuck_prediction_keeps_its_status(schedule: Schedule, status: str) -> None:
    """With an infinite starting or running time the status never changes."""
    assert status_after(1e8, schedule) == status


@pytest.mark.parametrize(
    ("deadline_s", "status"), [(0.5, "aborted"), (5, "canceled"), (20, "succeeded")]
)
def test_a_deadline_ends_it(deadline_s: float, status: str) -> None:
    """The deadline aborts it before it runs, cancels it while it runs, and does nothing later."""
    assert status_after(30, deadline_s=CREATED_AT_S + deadline_s) == status


def test_cancel_ends_it_at_once() -> None:
    """A canceled prediction has ended at the time of the cancel."""
    prediction = make_prediction()

    prediction.cancel(CREATED_AT_S + 3)

    moment = prediction.at(CREATED_AT_S + 3)
    assert (moment.status, moment.completed_at_s) == (Status.CANCELED, CREATED_AT_S + 3)


def test_a_second_cancel_changes_nothing() -> None:
    """Cancel is idempotent: the first one counts."""
    prediction = make_prediction()
    prediction.cancel(CREATED_AT_S + 3)

    prediction.cancel(CREATED_AT_S + 4)

    assert prediction.at(CREATED_AT_S + 9).completed_at_s == CREATED_AT_S + 3


def test_cancel_after_the_end_changes_nothing() -> None:
    """A prediction that has succeeded stays succeeded."""
    prediction = make_prediction()

    prediction.cancel(CREATED_AT_S + 12)

    assert prediction.at(CREATED_AT_S + 13).status is Status.SUCCEEDED


def test_the_output_exists_before_the_status_changes() -> None:
    """Shortly before the end it has output while the status is still processing."""
    prediction = make_prediction()

    moment = prediction.at(prediction.output_at_s)

    assert moment.has_output
    assert moment.status is Status.PROCESSING


@pytest.mark.parametrize("ending", [Status.FAILED, Status.CANCELED, Status.EXPIRED])
def test_only_a_success_has_output(ending: Status) -> None:
    """With another ending it has no output at any time."""
    prediction = make_prediction(schedule=Schedule(1, 10, ending=ending))

    moments = [prediction.at(CREATED_AT_S + tenth / 10) for tenth in range(150)]

    assert not any(moment.has_output for moment in moments)


@pytest.mark.parametrize("model", ["google/imagen-4-fast", "black-forest-labs/flux-dev"])
def test_changes_are_found_one_after_the_other(model: str) -> None:
    """`next_change_s` leads through every status to the end."""
    prediction = make_prediction(model)
    now_s: float | None = CREATED_AT_S
    visited = []
    while now_s is not None:
        visited.append(now_s)
        now_s = prediction.next_change_s(now_s)

    assert all(before < after for before, after in pairwise(visited))
    assert visited[-1] == CREATED_AT_S + 11
    assert {prediction.at(at_s).status for at_s in visited} == {
        Status.STARTING,
        Status.PROCESSING,
        Status.SUCCEEDED,
    }


def test_the_fraction_grows_from_nothing_to_one() -> None:
    """The fraction never decreases and ends at exactly 1."""
    prediction = make_prediction(created_at_s=1_764_000_000.123)

    fractions = [prediction.at(1_764_000_000.123 + tenth / 10).fraction for tenth in range(150)]

    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
