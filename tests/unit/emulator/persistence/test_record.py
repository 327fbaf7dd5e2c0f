"""Predictions as they are remembered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phoenix_compat.emulator.faults.fault_plan import parse_mark
from phoenix_compat.emulator.persistence.json_lines_log import plain
from phoenix_compat.emulator.persistence.record import PredictionRecord, recollect
from phoenix_compat.emulator.predictions.prediction import Prediction, WebhookRequest
from phoenix_compat.emulator.schedule import LogsKind, OutputKind, Schedule, Status
from tests.unit.emulator.making import CREATED_AT_S, PREDICTION_ID, make_prediction

ODD_SCRIPT = Schedule(
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


def written(prediction: Prediction, **options: Any) -> Any:
    """The entry of a prediction, after it has been a line of the file."""
    record = dict(PredictionRecord.of(prediction, **options))
    return json.loads(json.dumps({"created": record}, default=plain))


@pytest.mark.parametrize(
    "prediction",
    [
        make_prediction(),
        make_prediction(schedule=ODD_SCRIPT, given={"prompt": "\ud800", "seed": 4}),
        make_prediction(f"someone/something:{HEX}"),
        make_prediction(HEX),
        make_prediction("meta/meta-llama-3-8b-instruct", deployment="me/mine"),
        make_prediction(
            deadline_s=CREATED_AT_S + 5,
            webhook=WebhookRequest("https://example.com", frozenset({"start", "completed"})),
            marks=(parse_mark("poll_500x2"), parse_mark("file_404")),
            inline_output="data:image/png;base64,",
            canceled_at_s=CREATED_AT_S + 1,
            is_reported=True,
        ),
    ],
    ids=lambda prediction: f"{prediction.model.full_name} {prediction.deadline_s}",
)
def test_a_prediction_comes_back_as_it_was(prediction: Prediction) -> None:
    """Whatever it is of, however it ends."""
    told = recollect([written(prediction)])

    assert told.predictions == {prediction.id: prediction}
    assert told.skipped == 0


def test_what_replicate_would_have_removed_is_not_kept() -> None:
    """Past retention the input goes; what is left of it stays true."""
    entry = written(make_prediction(inline_output="data:,"), is_data_removed=True)

    (prediction,) = recollect([entry]).predictions.values()

    assert prediction.input == {}
    assert prediction.inline_output is None


def test_later_entries_change_earlier_ones() -> None:
    """Canceled, reported, forgotten, in their order; the last port holds."""
    first, second = make_prediction(), make_prediction(id="b" * 26, sequence=2)
    entries = [
        {"port": 4000},
        written(first),
        written(second),
        {"canceled": first.id, "at_s": CREATED_AT_S + 2},
        {"reported": first.id},
        {"forgotten": second.id},
        {"port": 4001},
    ]

    told = recollect(entries)

    assert told.port == 4001
    (kept,) = told.predictions.values()
    assert (kept.id, kept.canceled_at_s, kept.is_reported) == (first.id, CREATED_AT_S + 2, True)


def test_all_can_be_forgotten() -> None:
    """As by DELETE /__emu/predictions."""
    assert recollect([written(make_prediction()), {"forgotten": None}]).predictions == {}


def test_an_entry_that_comes_twice_changes_nothing() -> None:
    """A rewrite and a note may tell of one creation both."""
    entry = written(make_prediction())
    canceled = {"canceled": PREDICTION_ID, "at_s": CREATED_AT_S + 2}

    (prediction,) = recollect([entry, canceled, entry]).predictions.values()

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
        written(make_prediction())["created"] | {"id": "../../etc/passwd"},
        {"created": written(make_prediction())["created"] | {"more": 1}},
        {"created": written(make_prediction())["created"] | {"model": "google/gone"}},
        {"created": written(make_prediction())["created"] | {"marks": ["no_such_fault"]}},
        {"created": written(make_prediction())["created"] | {"created_at_s": float("nan")}},
        {"canceled": PREDICTION_ID},
    ],
)
def test_what_makes_no_sense_is_counted_and_skipped(entry: Any) -> None:
    """The entries beside it are read."""
    told = recollect([entry, written(make_prediction())])

    assert told.skipped == 1
    assert list(told.predictions) == [PREDICTION_ID]


@pytest.mark.parametrize("name", ["canceled", "reported", "forgotten"])
def test_what_is_told_of_a_stranger_is_no_fault(name: str) -> None:
    """Its creation was dropped for room."""
    assert recollect([{name: "z" * 26, "at_s": 1.0}]).skipped == 0
