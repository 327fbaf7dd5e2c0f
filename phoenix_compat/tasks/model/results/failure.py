"""Why a task failed: a stable code for programs and a sentence for people.

The provider's own texts mention accounts, billing and stack traces, so clients never see them. The
one exception is what the provider says about the input, if it contains nothing private.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from phoenix_compat.tasks.model.results.provider_texts import (
    classify_error,
    classify_logs,
    without_words,
)
from phoenix_compat.tasks.model.task import JSONObject

MAX_TEXT_CHARS = 300
_MIN_WORD_CHARS = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a task ended without a result.

    Attributes:
        code: one of `TEXTS`.
        text: the sentence for people.
        max_repeats: how often the create may be sent again after such a failure.
        provider_text: what the provider said, for the operator, if its text is not known; the
            user's own words are left out.
    """

    code: str
    text: str
    max_repeats: int = field(default=0, compare=False)
    provider_text: str = field(default="", compare=False)

    @property
    def error_data(self) -> JSONObject:
        """`{"error": text, "code": code}`, as clients get it."""
        return {"error": self.text, "code": self.code}


TEXTS: Mapping[str, str] = {
    "content_policy": "The prompt or the picture was refused by the content filter. "
    "Please try a different prompt.",
    "invalid_input": "The model does not accept this input.",
    "provider_unavailable": "The image service is not available right now. Please try again later.",
    "provider_account": "The image service is not available. Please contact the operator.",
    "model_unavailable": "This model is not available. Please choose another one.",
    "model_failed": "The model could not make this picture.",
    "out_of_memory": "The model ran out of memory. Please try a smaller picture.",
    "not_started": "The image service did not start this request. Please try again.",
    "timed_out": "The picture took too long, so the task was stopped.",
    "canceled": "The task was canceled.",
    "unknown_outcome": "It is unknown whether the image service accepted the request, "
    "so it was not repeated.",
    "cap_reached": "A limit of this server is reached, so the task was not repeated.",
    "empty_output": "The model finished without a picture.",
    "unsupported_output": "The model returned a kind of output that this server cannot store.",
    "expired": "The image service no longer has this picture.",
    "internal_error": "Something went wrong on this server.",
}
"""Every code that a failed task can have, with its default sentence."""


def failure(code: str, text: str | None = None) -> Failure:
    """A failure with the default sentence of its code, or with a more specific one."""
    return Failure(code, text or TEXTS[code])


def prediction_failure(error_text: str, logs: str, words: frozenset[str] = frozenset()) -> Failure:
    """Why a prediction failed: from its error text, or from its logs if there is none.

    Args:
        words: the user's own texts; see `provider_texts.users_words`.
    """
    if error_text.strip():
        verdict = classify_error(error_text, words)
    else:
        verdict = classify_logs(logs, words)
    if verdict is not None:
        return Failure(verdict.code, TEXTS[verdict.code], verdict.max_repeats)
    # Without an error text the platform may have failed as well as the model: repeat once.
    max_repeats = 0 if error_text.strip() else 1
    provider_text = without_words(error_text, words)
    return Failure("model_failed", TEXTS["model_failed"], max_repeats, provider_text)


# Words about the provider's account, secrets and internals: a text with one of them stays hidden.
_PRIVATE = re.compile(
    r"billing|credit|spend|payment|account|token|api[ _-]?key|r8_\w|bearer|traceback|https?://|data:",
    re.I,
)


def public_text(text: str, words: frozenset[str] = frozenset()) -> str | None:
    """The provider's text about the input as one line, or None when clients must not see it.

    Args:
        words: the user's own texts and the names of inputs; they are not private ("max_tokens").
    """
    line = " ".join(text.split()).removeprefix("- ")
    if not line or _PRIVATE.search(_without_whole_words(text, words)):
        return None
    return line if len(line) <= MAX_TEXT_CHARS else line[: MAX_TEXT_CHARS - 1] + "…"


def _without_whole_words(text: str, words: frozenset[str]) -> str:
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= _MIN_WORD_CHARS and word in text:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", " ", text)
    return text
