"""The output of a run."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.json_type import JSON
from phoenix_compat.emulator.predictions.run_output import output_at, parse_file_name
from phoenix_compat.emulator.schedule import OutputKind, Schedule
from tests.unit.emulator.factories import CREATED_AT_S, PREDICTION_ID, make_prediction


def output_after(seconds: float, kind: OutputKind, model: str = "google/imagen-4-fast") -> JSON:
    prediction = make_prediction(model, Schedule(1, 10, output=kind), inline_output="data:x")
    return output_at(prediction, prediction.at(CREATED_AT_S + seconds), origin="http://emu")


@pytest.mark.parametrize("kind", OutputKind)
def test_there_is_no_output_while_it_starts(kind: OutputKind) -> None:
    """No output exists before the run, also with a fault."""
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
def test_the_output_at_the_end(kind: OutputKind, output: JSON) -> None:
    """It is the model's own output, or the one that a fault asks for."""
    assert output_after(12, kind) == output


def test_text_grows_chunk_by_chunk() -> None:
    """During the run the output is a growing prefix of the whole list."""
    model = "meta/meta-llama-3-8b-instruct"
    whole = output_after(12, OutputKind.MODEL, model)

    half = output_after(6, OutputKind.MODEL, model)

    assert 0 < len(half) < len(whole)
    assert whole[: len(half)] == half
    assert "Medieval monk" in "".join(whole)


def test_num_outputs_is_the_length_of_the_list() -> None:
    """A list model returns as many URLs as `num_outputs` asks for."""
    prediction = make_prediction(
        "black-forest-labs/flux-dev", given={"prompt": "x", "num_outputs": 3}
    )

    urls = output_at(prediction, prediction.at(CREATED_AT_S + 12), origin="http://emu")

    assert len(set(urls)) == 3


def test_a_file_name_is_parsed() -> None:
    """The name of an output file has prediction id, index and format; other names give None."""
    assert parse_file_name(f"{PREDICTION_ID}-1.webp") == (PREDICTION_ID, 1, "webp")
    assert parse_file_name("../../etc/passwd") is None
