"""Why a task failed: a stable code for programs and a sentence for people.

The provider's own texts mention accounts, billing and stack traces, so clients never see them. The
one exception is what the provider says about the input, if it contains nothing private.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from phoenix_compat.tasks.model.task import JSONObject

MAX_TEXT_CHARS = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a task ended without a result.

    Attributes:
        code: one of `TEXTS`.
        text: the sentence for people.
        max_repeats: how often the create may be sent again after such a failure.
    """

    code: str
    text: str
    max_repeats: int = field(default=0, compare=False)

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


# The first row whose pattern is found in the error or the logs applies. The codes of a letter and
# digits are Replicate's own; it puts them at the end of its texts. The number is `max_repeats`: it
# is 0 when the input, the content policy or the account is the cause.
_PREDICTION_ERRORS: tuple[tuple[re.Pattern[str], str, int], ...] = tuple(
    (re.compile(pattern, re.I), code, max_repeats)
    for pattern, code, max_repeats in (
        (r"\(E005\)|flagged as sensitive|NSFW content|content policy", "content_policy", 0),
        (r"\bE1001\b|out of memory", "out_of_memory", 0),
        (r"\(E00[34]\)|high demand|temporarily unavailable", "provider_unavailable", 2),
        (r"Prediction interrupted|\bcode: PA\b|Director:", "provider_unavailable", 2),
        (r"\bE9828\b|\bE8765\b|\bE9243\b", "provider_unavailable", 2),
        (r"\bE6716\b", "provider_unavailable", 1),
        (r"\(E002\)|insufficient credit|spend limit|billing", "provider_account", 0),
        (r"\(E001\)|\bE1000\b", "provider_unavailable", 1),
        (r"\bE4875\b", "internal_error", 0),
    )
)

_BLACK_PICTURE = re.compile(r"NSFW content detected|Total safe images: 0 out of", re.I)


def prediction_failure(error_text: str, logs: str) -> Failure:
    """Why a prediction failed: from its error text, or from its logs if that tells nothing."""
    for text in (error_text, logs[-2_000:]):
        for pattern, code, max_repeats in _PREDICTION_ERRORS:
            if pattern.search(text):
                return Failure(code, TEXTS[code], max_repeats)
    # Without an error text the platform may have failed as well as the model: repeat once.
    return Failure("model_failed", TEXTS["model_failed"], 0 if error_text.strip() else 1)


def is_filtered_picture(logs: str) -> bool:
    """Whether the logs say that the picture was blacked out.

    Old models report success for such a picture and mention the filter only in their logs.
    """
    return _BLACK_PICTURE.search(logs) is not None


# Words about the provider's account, secrets and internals: a text with one of them stays hidden.
_PRIVATE = re.compile(
    r"billing|credit|spend|payment|account|token|api[ _-]?key|r8_\w|bearer|traceback|https?://|data:",
    re.I,
)


def public_text(text: str) -> str | None:
    """The provider's text about the input as one line, or None when clients must not see it."""
    line = " ".join(text.split()).removeprefix("- ")
    if not line or _PRIVATE.search(line):
        return None
    return line if len(line) <= MAX_TEXT_CHARS else line[: MAX_TEXT_CHARS - 1] + "…"
