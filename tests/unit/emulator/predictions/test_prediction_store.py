"""The prediction store."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.predictions.prediction_store import PAGE_SIZE, PredictionStore
from phoenix_compat.emulator.problem import ProblemError
from phoenix_compat.emulator.schedule import Schedule
from tests.unit.emulator.factories import CREATED_AT_S, make_prediction

LATER_S = CREATED_AT_S + 1000


def filled(count: int, capacity: int = 1000) -> PredictionStore:
    prediction_store = PredictionStore(capacity)
    for number in range(count):
        at_s = CREATED_AT_S + number
        prediction = make_prediction(id=f"{number:026d}", sequence=number, created_at_s=at_s)
        prediction_store.add(prediction, LATER_S)
    return prediction_store


def numbers(prediction_store: PredictionStore, **query: object) -> list[int]:
    page = prediction_store.page(LATER_S, **query)  # type: ignore[arg-type] # the test's own keywords
    return [prediction.sequence for prediction in page.predictions]


def test_the_list_begins_with_the_newest() -> None:
    """A page is ordered by creation, newest first."""
    assert numbers(filled(3)) == [2, 1, 0]


def test_pages_follow_each_other() -> None:
    """The next cursor continues without gap or overlap, and the previous one leads back."""
    prediction_store = filled(PAGE_SIZE + 30)
    first = prediction_store.page(LATER_S)

    second = prediction_store.page(LATER_S, cursor=first.next_cursor)
    back = prediction_store.page(LATER_S, cursor=second.previous_cursor)

    assert [one.sequence for one in second.predictions] == list(range(29, -1, -1))
    assert (first.previous_cursor, second.next_cursor) == (None, None)
    assert back.predictions == first.predictions


def test_new_predictions_do_not_shift_a_page() -> None:
    """A cursor names a position, so a create between two pages causes no duplicate."""
    prediction_store = filled(PAGE_SIZE + 1)
    first = prediction_store.page(LATER_S)
    prediction_store.add(make_prediction(id="n" * 26, sequence=PAGE_SIZE + 1), LATER_S)

    second = prediction_store.page(LATER_S, cursor=first.next_cursor)

    assert [one.sequence for one in second.predictions] == [0]


def test_bounds_are_inclusive() -> None:
    """created_after and created_before include the given time."""
    bounds = {"created_after_s": CREATED_AT_S + 1, "created_before_s": CREATED_AT_S + 2}

    assert numbers(filled(5), **bounds) == [2, 1]


def test_a_prediction_can_be_listed_late() -> None:
    """With `listed_after_s` a prediction is found by its id before the list shows it."""
    prediction_store = PredictionStore(10)
    lagging = make_prediction(schedule=Schedule(1, 10, listed_after_s=1.5))
    prediction_store.add(lagging, CREATED_AT_S)

    assert prediction_store.page(CREATED_AT_S + 1.4).predictions == ()
    assert prediction_store.find(lagging.id) is lagging
    assert prediction_store.page(CREATED_AT_S + 1.5).predictions == (lagging,)


def test_the_oldest_finished_prediction_is_evicted() -> None:
    """A full store evicts finished predictions before running ones."""
    prediction_store = PredictionStore(2)
    stuck = make_prediction(id="a" * 26, schedule=Schedule(1, float("inf")))
    prediction_store.add(stuck, LATER_S)
    done = make_prediction(id="b" * 26)
    prediction_store.add(done, LATER_S)

    evicted = prediction_store.add(make_prediction(id="c" * 26), LATER_S)

    assert evicted is done
    assert prediction_store.find(stuck.id) is stuck
    assert len(prediction_store) == 2


def test_without_finished_predictions_the_oldest_is_evicted() -> None:
    """The capacity also holds when no prediction ends."""
    prediction_store = PredictionStore(1)
    prediction_store.add(make_prediction(id="a" * 26), CREATED_AT_S)

    prediction_store.add(make_prediction(id="b" * 26), CREATED_AT_S)

    assert [one.id for one in prediction_store] == ["b" * 26]


def test_predictions_can_be_deleted() -> None:
    """One or all can be deleted; the number of deleted predictions is returned."""
    prediction_store = filled(3)

    assert prediction_store.forget(f"{1:026d}") == 1
    assert prediction_store.forget("unknown") == 0
    assert prediction_store.forget() == 2
    assert len(prediction_store) == 0


@pytest.mark.parametrize("cursor", ["", "x", "b2xkZXI6eA==", "&&&&"])
def test_an_invalid_cursor_is_refused(cursor: str) -> None:
    """An invalid cursor is an error and does not give the first page."""
    with pytest.raises(ProblemError):
        filled(1).page(LATER_S, cursor=cursor)
