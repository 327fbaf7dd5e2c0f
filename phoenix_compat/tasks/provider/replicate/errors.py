"""What an answer of Replicate with an error status means for a task."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    RateReducedError,
)
from phoenix_compat.tasks.model.results.failure import TEXTS, public_text

DEFAULT_RETRY_AFTER_S = 5.0
MAX_RETRY_AFTER_S = 300.0

_RESETS_IN = re.compile(r"resets in ~?(\d{1,6})\s?s")
_REDUCED_TO = re.compile(
    r"reduced to (\d{1,6}) requests? per minute(?: with a burst of (\d{1,6}))?"
)
# Whole titles and details of a 422 about the model itself. A detail about an input can have the
# same words in it, so parts of a text mean nothing.
_MODEL_IS_GONE = frozenset(
    {
        "invalid version or not permitted",
        "version disabled",
        "the specified version does not exist (or perhaps you don't have permission to use it?)",
        "this version has been disabled because it consistently fails to complete setup.",
    }
)
_MAX_FIELDS = 64


def answer_error(
    status: int, body: object, headers: Mapping[str, str], words: frozenset[str] = frozenset()
) -> ProviderError:
    """The `ProviderError` for an answer with an error status.

    The status decides first, then `invalid_fields`, then whole titles and details.

    Args:
        status: the HTTP status.
        body: the parsed JSON, or the text if it is not JSON.
        headers: a case-insensitive mapping.
        words: the user's texts in the request.
    """
    if status == 429:
        return _throttle(body, headers)
    if status == 408 or status >= 500:
        return ProviderUncertainError(f"answered {status}", status=status)
    code, text = _refusal(status, body, words)
    return ProviderRefusedError(status, code, text or TEXTS[code])


def _throttle(body: object, headers: Mapping[str, str]) -> ProviderThrottledError:
    wait_s = retry_after_s(body, headers)
    limit = _REDUCED_TO.search(_detail(body))
    if limit is None or int(limit[1]) == 0:
        return ProviderThrottledError(wait_s)
    return RateReducedError(wait_s, per_minute=int(limit[1]), burst=max(int(limit[2] or 1), 1))


def retry_after_s(body: object, headers: Mapping[str, str]) -> float:
    """How long to wait after a 429, 0 to 300 seconds: from the body, the header or the detail."""
    candidates: list[object] = []
    if isinstance(body, dict):
        candidates.append(body.get("retry_after"))
    candidates.append(headers.get("retry-after"))
    found = _RESETS_IN.search(_detail(body))
    candidates.append(found and found[1])
    for candidate in candidates:
        seconds = _seconds(candidate)
        if seconds is None:
            seconds = _seconds_until(candidate, headers.get("date"))
        if seconds is not None:
            return min(seconds, MAX_RETRY_AFTER_S)
    return DEFAULT_RETRY_AFTER_S


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(value: object, date: str | None) -> float | None:
    """The time to an HTTP date, by the provider's clock; None if it is not one, or has passed."""
    if not isinstance(value, str) or date is None:
        return None
    try:
        seconds = (parsedate_to_datetime(value) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError, OverflowError):  # not a date, or only one has a time zone
        return None
    return seconds if seconds >= 0 else None


def _refusal(status: int, body: object, words: frozenset[str]) -> tuple[str, str | None]:
    match status:
        case 401 | 402 | 403:
            return "provider_account", None
        case 404 | 410:
            return "model_unavailable", None
        case 422 if not _invalid_fields(body) and _is_about_model(body):
            return "model_unavailable", None
        case 400 | 413 | 422:
            return "invalid_input", public_text(_detail(body), words | _invalid_fields(body))
        case _:
            return "provider_unavailable", None


def _is_about_model(body: object) -> bool:
    """Whether the provider refused the model or its version, and not an input."""
    title = _title(body).strip().lower()
    return (title or _detail(body).strip().lower()) in _MODEL_IS_GONE


def _invalid_fields(body: object) -> frozenset[str]:
    """The names of the inputs that the provider refused, with and without "input."."""
    fields = body.get("invalid_fields") if isinstance(body, dict) else None
    names: set[str] = set()
    for one in fields[:_MAX_FIELDS] if isinstance(fields, list) else ():
        name = one.get("field") if isinstance(one, dict) else None
        if isinstance(name, str) and name:
            names |= {name, name.removeprefix("input.")}
    return frozenset(names)


def _title(body: object) -> str:
    return str(body.get("title", "")) if isinstance(body, dict) else ""


def _detail(body: object) -> str:
    return str(body.get("detail", ""))[:2_000] if isinstance(body, dict) else ""
