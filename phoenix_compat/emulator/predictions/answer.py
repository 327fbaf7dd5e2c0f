"""What the models that write answer: a fixed text with the prompt, and what is known of a file."""

from __future__ import annotations

import re
from functools import lru_cache

from phoenix_compat.emulator.predictions.model import Use
from phoenix_compat.emulator.predictions.prediction import Prediction

_LIMITS = ("max_tokens", "max_completion_tokens")


def answer_chunks(prediction: Prediction) -> tuple[str, ...]:
    """The words of the answer; joined without a separator they are the text."""
    limits = (prediction.input.get(name) for name in _LIMITS)
    limit = next((one for one in limits if isinstance(one, int)), None)
    return _chunks(prediction.model.use, prediction.prompt, prediction.subject, limit)


@lru_cache(maxsize=64)
def _chunks(use: Use, prompt: str, subject: str | None, limit: int | None) -> tuple[str, ...]:
    if use is Use.TRANSCRIBE:
        text = (
            f"This recording is {subject or 'unknown'}. The emulator cannot hear, so it always "
            "writes down this same text."
        )
    elif subject is not None:
        text = (
            f"You sent {subject}, and asked: {prompt or 'nothing'} This description comes from an "
            "emulator, which measures pictures and does not know what they show."
        )
    else:
        text = (
            f"You asked about: {prompt or 'nothing in particular'}. This answer comes from an "
            "emulator, which has no language model and always returns this same text."
        )
    return tuple(re.findall(r"\s?\S+", text)[: limit or None])
