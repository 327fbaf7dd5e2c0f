"""Normalises a model's output: its URLs, its text, and the number of its inline files.

Models answer with a string, a list, nested lists, an object with named parts, or chunks of text.
Inline `data:` outputs are only counted and then dropped, because megabytes of base64 belong neither
in the database nor on a channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAX_PARTS = 1_000
"""Parts beyond this are ignored. Each chunk of a text model is one part."""
MAX_DEPTH = 8
MAX_URL_CHARS = 4_096


@dataclass(frozen=True, slots=True)
class Output:
    """The normalised output of a prediction.

    Attributes:
        urls: addresses of files, in the model's order, without repeats.
        text: all text parts, joined without a separator.
        inline_files: the number of `data:` files.
    """

    urls: tuple[str, ...] = ()
    text: str = ""
    inline_files: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no URL, no text and no inline file."""
        return not (self.urls or self.text or self.inline_files)


def normalise_output(raw: object) -> Output:
    """Normalise what a model answered: null, a string, a list, an object, or any nesting."""
    urls: list[str] = []
    texts: list[str] = []
    inline_files = 0
    for index, part in enumerate(_strings(raw, MAX_DEPTH)):
        if index >= MAX_PARTS:
            break
        if part.startswith("data:"):
            inline_files += 1
        elif part.startswith(("https://", "http://")) and " " not in part:
            if len(part) <= MAX_URL_CHARS and part not in urls:
                urls.append(part)
        else:
            texts.append(part)
    return Output(tuple(urls), "".join(texts), inline_files)


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
