"""The state of an emulator, without HTTP."""

from __future__ import annotations

import statistics

import pytest

from phoenix_compat.emulator.predictions.catalog import model_of_version
from phoenix_compat.emulator.predictions.create_body import CreateBody
from phoenix_compat.emulator.predictions.prediction import Prediction, WebhookRequest
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.emulator.state import EmulatorState, ValidatedCreate


def validated_create(webhook: WebhookRequest | None = None) -> ValidatedCreate:
    model, version = model_of_version("google/imagen-4-fast")
    body = CreateBody({"prompt": "x"}, None, webhook)
    return ValidatedCreate(model=model, version=version, body=body, origin="http://emu")


def create(state: EmulatorState, webhook: WebhookRequest | None = None) -> Prediction:
    return state.create(validated_create(webhook), state.plan(validated_create(webhook)))


def test_ids_look_like_replicates() -> None:
    """Ids are 26 lowercase letters and digits, and unique."""
    state = EmulatorState(EmulatorSettings())

    ids = {state.new_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(len(one) == 26 and one.isalnum() and one == one.lower() for one in ids)


def test_a_seed_repeats_everything() -> None:
    """Two emulators with the same seed draw the same ids and the same schedules."""
    first, second = (create(EmulatorState(EmulatorSettings(seed=5))) for _ in range(2))

    assert (first.id, first.schedule) == (second.id, second.schedule)


def test_running_times_are_spread_between_the_bounds() -> None:
    """Running times are between 2 and 5 s with a median of 3 s."""
    state = EmulatorState(EmulatorSettings(seed=5))

    runs = [state.plan(validated_create()).run_s for _ in range(500)]

    assert min(runs) >= 2
    assert max(runs) <= 5
    assert statistics.median(runs) == pytest.approx(3, abs=0.2)


def test_speed_shortens_the_work_only() -> None:
    """At speed 20 a run takes a twentieth of the time, and the clock is unchanged."""
    state = EmulatorState(EmulatorSettings(speed=20, seed=5))

    schedule = state.plan(validated_create())

    assert schedule.starting_s == pytest.approx(0.015)
    assert 0.1 <= schedule.run_s <= 0.25
    assert state.clock.factor == 1


def test_a_model_starts_cold_once() -> None:
    """Only the first prediction of a model has the cold start."""
    state = EmulatorState(EmulatorSettings(cold_start_s=30))

    starts = [state.plan(validated_create()).starting_s for _ in range(2)]

    assert starts == [30.3, 0.3]


def test_an_empty_webhook_fails_the_prediction() -> None:
    """Replicate accepts an empty webhook URL, and the prediction fails with E4875."""
    state = EmulatorState(EmulatorSettings())
    prediction = create(state, WebhookRequest("", frozenset()))

    state.clock.advance(60)

    document = state.document(prediction)
    assert document["status"] == "failed"
    assert "E4875" in document["error"]


def test_created_at_is_never_in_the_future() -> None:
    """The milliseconds are truncated, so that the list shows a new prediction at once."""
    state = EmulatorState(EmulatorSettings())

    prediction = create(state)

    assert prediction.created_at_s <= state.clock.now_s()


def test_the_summary_counts() -> None:
    """Predictions are counted by status."""
    state = EmulatorState(EmulatorSettings())
    create(state)
    state.clock.advance(60)
    create(state)

    summary = state.summary()

    assert summary["by_status"] == {"succeeded": 1, "starting": 1}
    assert summary["counts"]["created"] == 2
