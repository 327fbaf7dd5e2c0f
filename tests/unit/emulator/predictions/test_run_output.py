"""The output of a run."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.json_type import JSON
from phoenix_compat.emulator.predictions.run_output import output_at, parse_file_name
from phoenix_compat.emulator.schedule import OutputKind, Schedule
from tests.unit.emulator.making import CREATED_AT_S, PREDICTION_ID, make_prediction


def output_after(seconds: float, kind: OutputKind, model: str = "google/imagen-4-fast") -> JSON:
    prediction = make_prediction(model, Schedule(1, 10, output=kind), inline_output="data:x")
    return output_at(prediction, prediction.at(CREATED_AT_S + seconds), origin="http://emu")


@pytest.mark.parametrize("kind", OutputKind)
def test_there_is_none_while_it_starts(kind: OutputKind) -> None:
    """Nothing comes before the run, not even an oddity."""
    assert output_after(0, kind) is None


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        (OutputKind.MODEL, f"http://emu/files/{PREDICTION_ID}-0.jpg"),
        (OutputKind.NULL, None),
        (OutputKind.EMPTY_LIST, []),
        (OutputKind.DATA_URL, "data:x"),
        (OutputKind.DICT, {"image": f"http://emu/files/{PREDICTION_ID}-0.jpg", "width": 1024}),
        (
            OutputKind.TWO_URLS,
            [f"http://emu/files/{PREDICTION_ID}-{index}.jpg" for index in (0, 1)],
        ),
    ],
)
def test_each_kind_at_the_end(kind: OutputKind, output: JSON) -> None:
    """The model's own output, or what a fault puts in its place."""
    assert output_after(12, kind) == output


def test_text_grows_chunk_by_chunk() -> None:
    """A text model's list is a growing prefix of the whole."""
    model = "meta/meta-llama-3-8b-instruct"
    whole = output_after(12, OutputKind.MODEL, model)

    half = output_after(6, OutputKind.MODEL, model)

    assert 0 < len(half) < len(whole)
    assert whole[: len(half)] == half
    assert "Medieval monk" in "".join(whole)


def test_a_list_model_makes_as_many_as_asked() -> None:
    """num_outputs decides the length of the list."""
    prediction = make_prediction(
        "black-forest-labs/flux-dev", given={"prompt": "x", "num_outputs": 3}
    )

    urls = output_at(prediction, prediction.at(CREATED_AT_S + 12), origin="http://emu")

    assert len(set(urls)) == 3


def test_a_file_name_leads_back_to_its_prediction() -> None:
    """What the URL names is found again; other names are nothing."""
    assert parse_file_name(f"{PREDICTION_ID}-1.webp") == (PREDICTION_ID, 1, "webp")
    assert parse_file_name("../../etc/passwd") is None
