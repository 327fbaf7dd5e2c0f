"""What the models that write answer."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.emulator.predictions.answer import answer_chunks
from tests.unit.emulator.factories import make_prediction


def answer(model: str, given: dict[str, Any], subject: str | None = None) -> str:
    return "".join(answer_chunks(make_prediction(model, given=given, subject=subject)))


def test_a_question_is_answered() -> None:
    """The prompt is in the answer."""
    text = answer("openai/gpt-4o-mini", {"prompt": "the moon"})

    assert text.startswith("You asked about: the moon. ")


def test_a_picture_is_described() -> None:
    """What is known of it is in the answer."""
    given = {"prompt": "What is it?", "image_input": ["data:x"]}

    text = answer("openai/gpt-4o-mini", given, "a picture of 4 by 3 pixels, mostly red")

    assert text.startswith(
        "You sent a picture of 4 by 3 pixels, mostly red, and asked: What is it?"
    )


def test_a_recording_is_written_down() -> None:
    """Its length is in the text."""
    text = answer("openai/gpt-4o-transcribe", {"audio_file": "data:x"}, "WAV of 1.5 s")

    assert text.startswith("This recording is WAV of 1.5 s. ")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_cut(name: str) -> None:
    """At the number of words that the input allows."""
    assert answer("openai/gpt-4o", {"prompt": "x", name: 3}) == "You asked about:"
