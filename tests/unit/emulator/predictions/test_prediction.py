"""The prediction as a function of time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from phoenix_compat.emulator.schedule import Schedule, Status
from tests.unit.emulator.making import CREATED_AT_S, make_prediction


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
def test_a_life_without_incident(seconds: float, status: str) -> None:
    """It starts, runs, succeeds, and stays so."""
    assert status_after(seconds) == status


@pytest.mark.parametrize("ending", [Status.FAILED, Status.SUCCEEDED, Status.EXPIRED])
def test_the_script_decides_the_ending(ending: Status) -> None:
    """Running time over, it becomes what its schedule says."""
    assert status_after(11, Schedule(1, 10, ending=ending)) is ending


def test_an_aborted_one_never_starts() -> None:
    """Aborted comes when starting is over; there is no started_at then."""
    prediction = make_prediction(schedule=Schedule(1, 10, ending=Status.ABORTED))

    moment = prediction.at(CREATED_AT_S + 1)

    assert moment.status is Status.ABORTED
    assert moment.started_at_s is None
    assert moment.completed_at_s == CREATED_AT_S + 1


@pytest.mark.parametrize(
    ("schedule", "status"),
    [(Schedule(math.inf, 10), "starting"), (Schedule(1, math.inf), "processing")],
)
def test_a_stuck_one_stays_where_it_is(schedule: Schedule, status: str) -> None:
    """An infinite time in a state is never over."""
    assert status_after(1e8, schedule) == status


@pytest.mark.parametrize(
    ("deadline_s", "status"), [(0.5, "aborted"), (5, "canceled"), (20, "succeeded")]
)
def test_a_deadline_ends_it(deadline_s: float, status: str) -> None:
    """Before it ran it is aborted, while it runs canceled; afterwards the deadline is nothing."""
    assert status_after(30, deadline_s=CREATED_AT_S + deadline_s) == status


def test_cancel_ends_it_at_once() -> None:
    """A canceled prediction is over at that very moment."""
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
    """What has succeeded stays so."""
    prediction = make_prediction()

    prediction.cancel(CREATED_AT_S + 12)

    assert prediction.at(CREATED_AT_S + 13).status is Status.SUCCEEDED


def test_the_output_comes_before_the_status_says_so() -> None:
    """Shortly before the end there is output while the status is still processing."""
    prediction = make_prediction()

    moment = prediction.at(prediction.output_at_s)

    assert moment.has_output
    assert moment.status is Status.PROCESSING


@pytest.mark.parametrize("ending", [Status.FAILED, Status.CANCELED, Status.EXPIRED])
def test_only_a_success_has_output(ending: Status) -> None:
    """There is no output at any moment of a life that ends otherwise."""
    prediction = make_prediction(schedule=Schedule(1, 10, ending=ending))

    moments = [prediction.at(CREATED_AT_S + tenth / 10) for tenth in range(150)]

    assert not any(moment.has_output for moment in moments)


@pytest.mark.parametrize("model", ["google/imagen-4-fast", "black-forest-labs/flux-dev"])
def test_changes_are_found_one_after_the_other(model: str) -> None:
    """Walking from change to change ends at the ending and meets each state on the way."""
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
    """How much of the run is over never shrinks, and ends at exactly 1."""
    prediction = make_prediction(created_at_s=1_764_000_000.123)

    fractions = [prediction.at(1_764_000_000.123 + tenth / 10).fraction for tenth in range(150)]

    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
