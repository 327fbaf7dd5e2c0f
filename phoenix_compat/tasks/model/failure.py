"""Why a task failed: a stable code for programs and a sentence for people.

What the provider wrote is read here and goes no further, except for plain words about the input:
its texts speak of accounts, billing and stack traces, which are not our clients' matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from phoenix_compat.tasks.model.task import JSONObject

MAX_TEXT_CHARS = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """A task's end without a result.

    Attributes:
        code: one of `TEXTS`.
        text: the sentence for people.
        max_repeats: how often the same order may be sent again after this, as it is worth a try.
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
    "timed_out": "The picture took too long and was given up.",
    "canceled": "The task was canceled.",
    "unknown_outcome": "It is unknown whether the image service took the order, "
    "so it was not repeated.",
    "empty_output": "The model ended without a picture.",
    "unsupported_output": "The model answered in a form that this server cannot keep.",
    "expired": "The image service no longer has this picture.",
    "internal_error": "Something went wrong on this server.",
}
"""Every code a failed task can carry, with its usual sentence."""


def failure(code: str, text: str | None = None) -> Failure:
    """A failure with its usual sentence, or with a better one."""
    return Failure(code, text or TEXTS[code])


# The first row whose pattern is found in the error or the logs counts. The letter-and-digits codes
# are Replicate's own, in brackets at the end of its texts. The number says how often the order is
# worth repeating: never when the input, the policy or the account is at fault.
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
    """Why a prediction failed, from its error and, when that says nothing, from its logs."""
    for text in (error_text, logs[-2_000:]):
        for pattern, code, max_repeats in _PREDICTION_ERRORS:
            if pattern.search(text):
                return Failure(code, TEXTS[code], max_repeats)
    # Without any reason it was as likely the platform as the model.
    return Failure("model_failed", TEXTS["model_failed"], 0 if error_text.strip() else 1)


def is_filtered_picture(logs: str) -> bool:
    """Whether old models' logs say that they blackened the picture they call a success."""
    return _BLACK_PICTURE.search(logs) is not None


# Words of the provider's account, secrets and innards: a text with one of them is not shown.
_PRIVATE = re.compile(
    r"billing|credit|spend|payment|account|token|api[ _-]?key|r8_\w|bearer|traceback|https?://|data:",
    re.I,
)


def public_text(text: str) -> str | None:
    """One line of the provider's words about the input, or None when it is not for clients."""
    line = " ".join(text.split()).removeprefix("- ")
    if not line or _PRIVATE.search(line):
        return None
    return line if len(line) <= MAX_TEXT_CHARS else line[: MAX_TEXT_CHARS - 1] + "…"
