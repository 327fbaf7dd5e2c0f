"""Writes values as Markdown that code hosts and MyST read alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_UNESCAPED_BAR = re.compile(r"(?<!\\)\|")
_ESCAPED_BAR = r"\\|"
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|])")


def plain(text: str) -> str:
    """The text with every character escaped that Markdown would read."""
    return _SPECIAL.sub(r"\\\1", text)


def prose(text: str) -> str:
    """The text, in which only `code` is read as Markdown."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    return "".join(code(part) if number % 2 else plain(part) for number, part in enumerate(parts))


def code(text: str) -> str:
    """The text as code, whatever backticks it has."""
    if not text:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{text}{space}{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; `|` in a cell is escaped."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(_UNESCAPED_BAR.sub(_ESCAPED_BAR, cell) for cell in row)} |"
