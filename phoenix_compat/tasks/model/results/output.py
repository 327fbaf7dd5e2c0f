"""Normalises a model's output: its URLs, its text, its value, and the number of its inline files.

Models answer with a string, a list, nested lists, an object with named parts, or chunks of text.
The task type decides which of these counts: a `text` type keeps every character, URLs included.

Inline `data:` files are only counted and then dropped, because megabytes of base64 belong neither
in the database nor on a channel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_FILES: Final = 1_000
"""Files beyond this are ignored."""
MAX_DEPTH: Final = 8
MAX_URL_CHARS: Final = 4_096
MAX_TEXT_BYTES: Final = 256 * 1024
"""A longer text is cut; `result_data.truncated` tells it. It is sent in one message."""

_TEXT_FIELDS: Final = (
    "text",
    "transcription",
    "transcript",
    "output",
    "caption",
    "answer",
    "response",
    "content",
    "completion",
    "message",
)
"""Where models that answer with an object put their text, the most usual first."""


@dataclass(frozen=True, slots=True)
class Output:
    """The normalised output of a prediction.

    Attributes:
        urls: addresses of files, in the model's order, without repeats.
        text: the text: a string, chunks joined without a separator, or the field of an object that
            has the text; "" if there is none.
        inline_files: the number of `data:` files.
        value: the output as it came, without inline files; None if it is too long.
        is_truncated: whether the text was cut, or the value left out.
    """

    urls: tuple[str, ...] = ()
    text: str = ""
    inline_files: int = 0
    value: Any = None
    is_truncated: bool = False


def normalise_output(raw: object) -> Output:
    """Normalise what a model answered: null, a string, a list, an object, or any nesting."""
    urls: dict[str, None] = {}
    inline_files = 0
    for part in _strings(raw, MAX_DEPTH):
        if part.startswith("data:"):
            inline_files += 1
        elif _is_url(part) and len(urls) < MAX_FILES:
            urls[part] = None
    text, is_cut = _cut(_text(raw))
    value, is_left_out = _bounded(_without_inline_files(raw, MAX_DEPTH))
    return Output(tuple(urls), text, inline_files, value, is_cut or is_left_out)


def output_text(raw: object) -> str:
    """The text of an output alone, cut at `MAX_TEXT_BYTES`; "" if there is none."""
    return _cut(_text(raw))[0]


def _is_url(part: str) -> bool:
    is_http = part.startswith(("https://", "http://"))
    return is_http and " " not in part and len(part) <= MAX_URL_CHARS


def _strings(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        if value:
            yield value
    elif depth > 0 and isinstance(value, list):
        for item in value:
            yield from _strings(item, depth - 1)
    elif depth > 0 and isinstance(value, dict):
        for item in value.values():
            yield from _strings(item, depth - 1)


def _text(raw: object) -> str:
    """The text of an output; "" for an object without a field that is known to have it."""
    if isinstance(raw, Mapping):
        for name in _TEXT_FIELDS:
            text = raw.get(name)
            if isinstance(text, str) and text.strip():
                return text
        only = [value for value in raw.values() if isinstance(value, str)]
        return only[0] if len(raw) == len(only) == 1 else ""
    if isinstance(raw, list):
        return "".join(map(_chunk, raw)) if not any(map(_is_nested, raw)) else ""
    return _chunk(raw)


def _is_nested(value: object) -> bool:
    return isinstance(value, list | dict)


def _chunk(value: object) -> str:
    """A chunk of a text, or a number or boolean as JSON writes it."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def _cut(text: str) -> tuple[str, bool]:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= MAX_TEXT_BYTES:
        return text, False
    return data[:MAX_TEXT_BYTES].decode("utf-8", "ignore"), True


def _bounded(value: object) -> tuple[Any, bool]:
    try:
        size_bytes = len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    except (TypeError, ValueError, RecursionError):
        return None, True
    return (value, False) if size_bytes <= MAX_TEXT_BYTES else (None, True)


def _without_inline_files(value: object, depth: int) -> object:
    if isinstance(value, str):
        return None if value.startswith("data:") else value
    if isinstance(value, list | dict) and depth <= 0:
        return None
    if isinstance(value, list):
        return [_without_inline_files(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {name: _without_inline_files(item, depth - 1) for name, item in value.items()}
    return value
