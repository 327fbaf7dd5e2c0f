"""The prediction object of the API."""

from __future__ import annotations

import re

import pytest

from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.predictions.prediction_document import (
    answer_at_output,
    prediction_document,
)
from phoenix_compat.emulator.schedule import Schedule, Status
from tests.unit.emulator.factories import CREATED_AT_S, make_prediction

ALWAYS = {"id", "model", "version", "input", "output", "data_removed", "error", "status"} | {
    "created_at",
    "urls",
    "logs",
    "source",
}


def document_after(prediction: Prediction, seconds: float) -> JsonObject:
    return prediction_document(
        prediction, CREATED_AT_S + seconds, origin="http://emu:1", retention_s=3600
    )


def test_keys_without_a_value_yet_are_absent() -> None:
    """While it starts there are no started_at, completed_at and metrics, not even null ones."""
    assert set(document_after(make_prediction(), 0)) == ALWAYS


def test_a_finished_prediction_has_times_and_metrics() -> None:
    """At its end it has started_at, completed_at and metrics."""
    document = document_after(make_prediction(), 12)

    assert set(document) == ALWAYS | {"started_at", "completed_at", "metrics"}
    assert document["metrics"] == {"total_time": 11.0, "predict_time": 10.0, "image_count": 1}


def test_times_have_as_many_digits_as_at_replicate() -> None:
    """created_at has milliseconds, started_at has six to nine digits, and both end in Z."""
    document = document_after(make_prediction(), 12)

    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", document["created_at"])
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{6,9}Z", document["started_at"])


def test_urls_begin_with_the_origin_of_the_request() -> None:
    """All URLs have the host that the client has used."""
    document = document_after(make_prediction(), 12)

    urls = [*document["urls"].values(), document["output"]]
    assert set(document["urls"]) == {"get", "cancel", "stream", "web"}
    assert all(url.startswith("http://emu:1/") for url in urls)


@pytest.mark.parametrize(
    ("model", "type_"),
    [
        ("google/imagen-4-fast", str),
        ("black-forest-labs/flux-schnell", list),
        ("meta/meta-llama-3-8b-instruct", list),
        ("emulated/cut-out", dict),
    ],
)
def test_the_output_has_the_form_of_the_model(model: str, type_: type) -> None:
    """The output is a URL, a list or an object."""
    assert isinstance(document_after(make_prediction(model), 12)["output"], type_)


def test_the_data_of_an_old_prediction_is_removed() -> None:
    """After the retention time it has no input, output and logs, and `data_removed` is true."""
    document = document_after(make_prediction("black-forest-labs/flux-dev"), 3600)

    assert document["data_removed"] is True
    assert (document["input"], document["output"], document["logs"]) == ({}, None, "")


def test_a_running_prediction_keeps_its_data() -> None:
    """Data is removed only from finished predictions."""
    stuck = make_prediction(schedule=Schedule(1, float("inf")))

    assert document_after(stuck, 4000)["data_removed"] is False


def test_the_error_is_shown_only_after_the_failure() -> None:
    """The error of a failing schedule is null until the prediction has failed."""
    failing = make_prediction(schedule=Schedule(1, 10, ending=Status.FAILED, error="no (E003)"))

    assert document_after(failing, 5)["error"] is None
    assert document_after(failing, 12)["error"] == "no (E003)"


def test_a_response_at_output_time_has_no_logs_and_metrics() -> None:
    """`Prefer: wait` answers with output, empty logs and without metrics."""
    flux = make_prediction("black-forest-labs/flux-dev")

    answer = answer_at_output(document_after(flux, 10.8))

    assert answer["status"] == "processing"
    assert answer["output"]
    assert answer["logs"] == ""
    assert "metrics" not in answer


def test_a_skewed_clock_shows_in_every_time() -> None:
    """The skew is added to created_at, started_at and completed_at."""
    skewed = make_prediction(schedule=Schedule(1, 10, skew_s=60))

    document = document_after(skewed, 12)

    assert document["created_at"] == "1970-01-12T13:47:40.000Z"
    assert document["started_at"].startswith("1970-01-12T13:47:41.")
    assert document["completed_at"].startswith("1970-01-12T13:47:51.")


def test_a_text_model_counts_tokens() -> None:
    """The metrics of a text model have token counts and no image count."""
    document = document_after(make_prediction("meta/meta-llama-3-8b-instruct"), 12)

    assert document["metrics"]["output_token_count"] == len(document["output"])
    assert "image_count" not in document["metrics"]
