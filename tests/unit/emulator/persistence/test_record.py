"""Predictions as entries of the state file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phoenix_compat.emulator.faults.fault_plan import parse_fault_spec
from phoenix_compat.emulator.persistence.json_lines_log import plain
from phoenix_compat.emulator.persistence.record import PredictionRecord, replay
from phoenix_compat.emulator.predictions.prediction import Prediction, WebhookRequest
from phoenix_compat.emulator.schedule import LogsKind, OutputKind, Schedule, Status
from tests.unit.emulator.factories import CREATED_AT_S, PREDICTION_ID, make_prediction

UNUSUAL_SCHEDULE = Schedule(
    starting_s=0.5,
    run_s=float("inf"),
    ending=Status.FAILED,
    error="E005",
    output=OutputKind.TWO_URLS,
    logs=LogsKind.HUGE,
    waiting_status=Status.QUEUED,
    skew_s=-3.0,
    listed_after_s=1.0,
)
HEX = "0123456789abcdef" * 4


def saved_entry(prediction: Prediction, **options: Any) -> Any:
    """The entry of a prediction, as it is read back from the file."""
    record = dict(PredictionRecord.of(prediction, **options))
    return json.loads(json.dumps({"created": record}, default=plain))


@pytest.mark.parametrize(
    "prediction",
    [
        make_prediction(),
        make_prediction(schedule=UNUSUAL_SCHEDULE, given={"prompt": "\ud800", "seed": 4}),
        make_prediction(f"someone/something:{HEX}"),
        make_prediction(HEX),
        make_prediction("meta/meta-llama-3-8b-instruct", deployment="me/mine"),
        make_prediction(
            deadline_s=CREATED_AT_S + 5,
            webhook=WebhookRequest("https://example.com", frozenset({"start", "completed"})),
            fault_specs=(parse_fault_spec("poll_500x2"), parse_fault_spec("file_404")),
            inline_output="data:image/png;base64,",
            canceled_at_s=CREATED_AT_S + 1,
            is_reported=True,
        ),
    ],
    ids=lambda prediction: f"{prediction.model.full_name} {prediction.deadline_s}",
)
def test_a_prediction_comes_back_unchanged(prediction: Prediction) -> None:
    """The round trip keeps every field, for all kinds of models and endings."""
    restored = replay([saved_entry(prediction)])

    assert restored.predictions == {prediction.id: prediction}
    assert restored.skipped == 0


def test_a_record_of_an_earlier_version_is_read() -> None:
    """It has no `subject`."""
    prediction = make_prediction()
    entry = saved_entry(prediction)
    del entry["created"]["subject"]

    assert replay([entry]).predictions == {prediction.id: prediction}


def test_the_keys_of_a_record_do_not_change() -> None:
    """A state file of an earlier version stays readable, so the key of a schedule is `script`."""
    record = saved_entry(make_prediction())["created"]

    assert set(record) == {
        *("id", "model", "version", "input", "script", "created_at_s", "origin", "sequence"),
        *("deadline_s", "deployment", "webhook", "marks", "inline_output", "canceled_at_s"),
        *("is_reported", "subject"),
    }
    assert record["script"] == {
        "starting_s": 1.0,
        "run_s": 10.0,
        "ending": "succeeded",
        "error": None,
        "output": "the model's own",
        "logs": "the model's own",
        "waiting_status": "starting",
        "skew_s": 0.0,
        "listed_after_s": 0.0,
    }


def test_removed_data_is_not_saved() -> None:
    """After the retention time the record has no input and no inline output."""
    entry = saved_entry(make_prediction(inline_output="data:,"), is_data_removed=True)

    (prediction,) = replay([entry]).predictions.values()

    assert prediction.input == {}
    assert prediction.inline_output is None


def test_later_entries_change_earlier_ones() -> None:
    """Canceled, reported and forgotten are applied in order; the last port counts."""
    first, second = make_prediction(), make_prediction(id="b" * 26, sequence=2)
    entries = [
        {"port": 4000},
        saved_entry(first),
        saved_entry(second),
        {"canceled": first.id, "at_s": CREATED_AT_S + 2},
        {"reported": first.id},
        {"forgotten": second.id},
        {"port": 4001},
    ]

    restored = replay(entries)

    assert restored.port == 4001
    (remaining,) = restored.predictions.values()
    assert (remaining.id, remaining.canceled_at_s, remaining.is_reported) == (
        first.id,
        CREATED_AT_S + 2,
        True,
    )


def test_all_can_be_forgotten() -> None:
    """This is what DELETE /__emu/predictions saves."""
    assert replay([saved_entry(make_prediction()), {"forgotten": None}]).predictions == {}


def test_an_entry_that_comes_twice_changes_nothing() -> None:
    """A rewrite and an appended line may hold the same creation."""
    entry = saved_entry(make_prediction())
    canceled = {"canceled": PREDICTION_ID, "at_s": CREATED_AT_S + 2}

    (prediction,) = replay([entry, canceled, entry]).predictions.values()

    assert prediction.canceled_at_s == CREATED_AT_S + 2


@pytest.mark.parametrize(
    "entry",
    [
        None,
        17,
        {},
        {"port": 70_000},
        {"created": None},
        {"created": {"id": "short"}},
        saved_entry(make_prediction())["created"] | {"id": "../../etc/passwd"},
        {"created": saved_entry(make_prediction())["created"] | {"more": 1}},
        {"created": saved_entry(make_prediction())["created"] | {"model": "google/gone"}},
        {"created": saved_entry(make_prediction())["created"] | {"marks": ["no_such_fault"]}},
        {"created": saved_entry(make_prediction())["created"] | {"created_at_s": float("nan")}},
        {"canceled": PREDICTION_ID},
    ],
)
def test_invalid_entries_are_counted_and_skipped(entry: Any) -> None:
    """The other entries are still applied."""
    restored = replay([entry, saved_entry(make_prediction())])

    assert restored.skipped == 1
    assert list(restored.predictions) == [PREDICTION_ID]


@pytest.mark.parametrize("name", ["canceled", "reported", "forgotten"])
def test_entries_of_unknown_predictions_are_valid(name: str) -> None:
    """The entry of the creation may have been left out by a rewrite."""
    assert replay([{name: "z" * 26, "at_s": 1.0}]).skipped == 0
