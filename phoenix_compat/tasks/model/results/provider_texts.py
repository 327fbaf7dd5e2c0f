"""What the provider's texts mean: which failure a text stands for, and where it may stand.

Providers and models quote the user's own words in errors and logs. So a text counts only as a
whole, from its beginning, where the provider writes it:

    an error      the whole text, without the codes at its end
    the logs      one whole line
    a code        "(E005)" at the very end of an error, or "E1001:" at the very beginning

A word in the middle of a text means nothing, and neither does a text that the user's input
explains. A text that no row knows is `model_failed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Flag, auto
from typing import Final

MAX_SHOWN_CHARS: Final = 300
_MAX_TEXT_CHARS: Final = 2_000
_MAX_WORDS: Final = 1_000
_MAX_DEPTH: Final = 16
_QUOTED: Final = "[input]"


class Field(Flag):
    """Where a text stands in a prediction."""

    ERROR = auto()
    LOGS_OF_FAILURE = auto()
    LOGS_OF_SUCCESS = auto()


@dataclass(frozen=True, slots=True)
class KnownText:
    """A text of the provider's.

    Attributes:
        pattern: matches the whole text.
        code: the failure's code; see `failure.TEXTS`.
        fields: where it may stand.
        max_repeats: how often the create may be sent again; 0 if the input, the policy or the
            account is the cause.
    """

    pattern: re.Pattern[str]
    code: str
    fields: Field
    max_repeats: int = 0


# What Python and the clients of other services write before a message.
_PREFIX: Final = (
    r"(?:(?:\w{1,40}\.){0,4}\w{0,40}(?:Error|Exception): )?"
    r"(?:Error code: \d{3} - \{'error': \{'message': [\"'])?"
)


def _rows(
    code: str, max_repeats: int, fields: Field, *patterns: str
) -> Iterator[tuple[str, KnownText]]:
    for pattern in patterns:
        compiled = re.compile(_PREFIX + pattern, re.I | re.S)
        yield pattern, KnownText(compiled, code, fields, max_repeats)


_LOGS: Final = Field.LOGS_OF_FAILURE | Field.LOGS_OF_SUCCESS

_BLACK_PICTURE: Final = (
    r"Potential NSFW content was detected in one or more images\. "
    r"A black image will be returned instead\..{0,200}"
)
_ALL_FILTERED: Final = r"Total safe images: 0 out of [1-9]\d{0,3}"
_NSFW: Final = (
    r"NSFW content detected\.?"
    r"(?: Try (?:running it again, or )?(?:try )?(?:giving it )?(?:another|a different) prompt\.?)?"
)

KNOWN_TEXTS: Final[Mapping[str, KnownText]] = dict(
    (
        *_rows(
            "content_policy",
            0,
            Field.ERROR,
            r"The (?:input|output|input or output) was flagged as sensitive\."
            r"(?: Please try again with (?:a )?different inputs?\.)?",
            r"Your request was rejected (?:by|as a result of) (?:our|the) safety system\b.*",
            r"The response is blocked, as it may violate our policies\b.*",
            r"The prompt could not be submitted\. (?:Your|This) prompt contains sensitive "
            r"words\b.*",
            r"Unable to show generated images\. All images were filtered out because they "
            r"violated\b.*",
            r"(?:Content|Request) moderated\.?",
            r"(?:Your|This|The) (?:prompt|request|input|content) (?:may )?violates? "
            r"(?:our|the) (?:content|usage|safety) polic(?:y|ies)\b.*",
            r"(?:Your|The) (?:prompt|request|input|content) (?:was|has been) "
            r"(?:flagged|blocked|rejected|refused) by (?:our|the) "
            r"(?:content|safety|moderation)[ -](?:policy|filter|system|check(?:er)?)\b.*",
        ),
        *_rows("content_policy", 0, Field.ERROR | _LOGS, _NSFW),
        *_rows("content_policy", 0, _LOGS, _BLACK_PICTURE, _ALL_FILTERED),
        *_rows(
            "out_of_memory",
            0,
            Field.ERROR | Field.LOGS_OF_FAILURE,
            r"CUDA (?:error: )?out of memory(?:\. Tried to allocate \d.*)?\.?",
            r"(?:The )?model ran out of memory\.?",
        ),
        *_rows(
            "provider_unavailable",
            2,
            Field.ERROR,
            r"Service is (?:currently |temporarily ){0,2}unavailable(?: due to high demand)?\."
            r"(?: Please try again later\.)?",
            r"Prediction interrupted; please retry(?: \(code: PA\))?\.?",
            r"Director: unexpected error handling prediction\.?",
        ),
        *_rows(
            "provider_unavailable",
            1,
            Field.ERROR,
            r"Model timed out while starting\.?",
            r"An error occurred while processing your request\.?",
        ),
        *_rows(
            "not_started",
            2,
            Field.ERROR,
            r"(?:Director: |Prediction (?:failed|rejected): )?(?:The )?queue (?:has )?reached "
            r"(?:its |the )?limit\.?",
        ),
        *_rows(
            "provider_account",
            0,
            Field.ERROR,
            r"(?:You have )?insufficient credits?\b.*",
            r"Invalid API key\.?",
            r"You've (?:hit|reached) your (?:monthly )?spend limit\b.*",
        ),
    )
)
"""Every known text: from which field which code may come."""

_CODES: Final[Mapping[str, tuple[str, int]]] = {
    "E005": ("content_policy", 0),
    "E1001": ("out_of_memory", 0),
    "E003": ("provider_unavailable", 2),
    "E004": ("provider_unavailable", 2),
    "PA": ("provider_unavailable", 2),
    "E9828": ("provider_unavailable", 2),
    "E8765": ("provider_unavailable", 2),
    "E9243": ("provider_unavailable", 2),
    "E6716": ("provider_unavailable", 1),
    "E001": ("provider_unavailable", 1),
    "E1000": ("provider_unavailable", 1),
    "E002": ("provider_account", 0),
    "E4875": ("internal_error", 0),
}
"""Replicate's own codes: the failure's code and `max_repeats`."""

_NOTE: Final = r"\s*\((?:code: )?[A-Za-z0-9]{2,40}\)"
_NOTES: Final = re.compile(rf"(?:{_NOTE}){{1,4}}\s*\Z")
_CODE_AT_END: Final = re.compile(rf"\((?:code: )?([A-Z0-9]{{2,5}})\)(?:{_NOTE})?\s*\Z")
_CODE_AT_START: Final = re.compile(r"(?=[(E])\(?(E\d{3,4})(?:\)|:) ")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a text stands for."""

    code: str
    max_repeats: int = 0


def classify_error(error_text: str, words: frozenset[str]) -> Verdict | None:
    """What the error of a failed prediction stands for; None for a text that is not known.

    Args:
        words: the user's texts; see `users_words`.
    """
    text = error_text[:_MAX_TEXT_CHARS].strip()
    bare = _NOTES.sub("", text)
    for candidate in (text, bare):
        for known in KNOWN_TEXTS.values():
            if Field.ERROR in known.fields and _is_known(known, candidate, words):
                return Verdict(known.code, known.max_repeats)
    quoted = [word for word in words if word != text]
    for found, is_users in (
        (_CODE_AT_END.search(text), any(text.endswith(word) for word in quoted)),
        (_CODE_AT_START.match(text), any(text.startswith(word) for word in quoted)),
    ):
        if found is not None and found[1] in _CODES and not is_users:
            return Verdict(*_CODES[found[1]])
    return None


def classify_logs(logs: str, words: frozenset[str]) -> Verdict | None:
    """What the logs of a failed prediction stand for; used only if its error is empty."""
    lines = logs[-_MAX_TEXT_CHARS:].splitlines()
    for known in KNOWN_TEXTS.values():
        if Field.LOGS_OF_FAILURE in known.fields and _stands_in(known, lines, words):
            return Verdict(known.code, known.max_repeats)
    return None


def is_filtered(logs: str, files: int, words: frozenset[str]) -> bool:
    """Whether the only picture of a successful prediction was blacked out by a filter.

    Old models report success for such a picture and tell it only in their logs. Where there are
    several pictures, some of them are good, so the task keeps all of them: they are paid for. A
    model that leaves filtered pictures out ("NSFW content detected in image 2") has told so by
    their number.

    Args:
        files: how many files the model returned.
    """
    lines = logs.splitlines()
    if _stands_in(KNOWN_TEXTS[_ALL_FILTERED], lines, words):
        return True
    return files == 1 and any(
        _stands_in(KNOWN_TEXTS[pattern], lines, words) for pattern in (_BLACK_PICTURE, _NSFW)
    )


def _is_known(known: KnownText, text: str, words: frozenset[str]) -> bool:
    """Whether this is a known text, and not a longer one that begins with the user's words."""
    if known.pattern.fullmatch(text) is None:
        return False
    return not any(
        text != word and text.startswith(word) and known.pattern.fullmatch(word) for word in words
    )


def _stands_in(known: KnownText, lines: list[str], words: frozenset[str]) -> bool:
    """Whether a line is a known text that is not a line of the user's input."""
    if not any(known.pattern.fullmatch(line.strip()) for line in lines):
        return False
    return not any(
        known.pattern.fullmatch(line.strip()) for word in words for line in word.splitlines()
    )


def users_words(*inputs: Mapping[str, object]) -> frozenset[str]:
    """The texts of inputs that a model may quote: all strings in them, and the inputs' names."""
    words: set[str] = set()
    waiting: list[tuple[object, int]] = [(one, 0) for one in inputs]
    while waiting and len(words) < _MAX_WORDS:
        value, depth = waiting.pop()
        if isinstance(value, str):
            words.add(value.strip())
        elif isinstance(value, Mapping) and depth < _MAX_DEPTH:
            words.update(str(name) for name in value)
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list) and depth < _MAX_DEPTH:
            waiting += [(item, depth + 1) for item in value]
    return frozenset(word for word in words if word)


def without_words(text: str, words: frozenset[str]) -> str:
    """A text with `[input]` in place of the user's texts, as one line; for logs and checks."""
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, _QUOTED)
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN_CHARS else line[: MAX_SHOWN_CHARS - 1] + "…"
