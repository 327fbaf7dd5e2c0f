"""What the emulated models say."""

from __future__ import annotations

import io
import wave

import pytest

from phoenix_compat.emulator.speech import MAX_WORDS, spoken


def seconds(content: bytes) -> float:
    with wave.open(io.BytesIO(content)) as recording:
        return float(recording.getnframes() / recording.getframerate())


def test_a_word_has_its_tone() -> None:
    """The same word sounds the same, and another one does not."""
    assert spoken("moon") == spoken("Moon") != spoken("sun")


def test_a_text_has_a_limit() -> None:
    """Words beyond it are left out; an empty text still makes a file."""
    assert seconds(spoken("a " * 500)) == seconds(spoken("a " * MAX_WORDS)) == pytest.approx(28.0)
    assert seconds(spoken("")) == seconds(spoken("\ud800")) == pytest.approx(0.28)
