"""Prints rows: a table that fits a terminal, or whole values with two spaces between them."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import click

from phoenix_compat.bounded import ELLIPSIS, escaped

_STYLES: Final = {
    "completed": "green",
    "failed": "red",
    "running": "cyan",
    "submitting": "cyan",
    "queued": "yellow",
}
"""The colors of words, wherever they stand alone in a cell."""
_GAP: Final = "  "


class Column(NamedTuple):
    """A column.

    Attributes:
        least_cells: how far its values may be cut; 0 if they are never cut.
        rank: where there is too little room, columns with a higher rank are left out first.
    """

    heading: str
    least_cells: int = 0
    rank: int = 0
    is_number: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print rows with a heading. Values that do not fit a terminal are cut, others never."""
    safe = [[escaped(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        _print_plain(columns, safe)
        return
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    natural = [
        max(cell_len(cell) for cell in (column.heading, *cells))
        for column, cells in zip(columns, zip(*safe, strict=True), strict=True)
    ]
    widths = fitted(columns, natural, console.width)

    def line(cells: Sequence[str], style: str) -> Text:
        text = Text()
        for column, cell, width in zip(columns, cells, widths, strict=True):
            if not width:
                continue
            fits = cell_len(cell) <= width
            shown = cell if fits else set_cell_size(cell, width - 1).rstrip() + ELLIPSIS
            gap = " " * (width - cell_len(shown))
            text.append(gap if column.is_number else "")
            text.append(shown, style or _STYLES.get(cell, ""))
            text.append(_GAP if column.is_number else gap + _GAP)
        text.rstrip()
        return text

    for cells, style in (
        ([column.heading for column in columns], "bold"),
        *((row, "") for row in safe),
    ):
        console.print(line(cells, style), soft_wrap=True)  # nothing whole is cut


def fitted(columns: Sequence[Column], natural: Sequence[int], room: int) -> list[int]:
    """The widths of the columns in so much room, in cells; 0 for those that are left out.

    Args:
        natural: the widths that they would like.
    """
    least = [
        min(width, column.least_cells) if column.least_cells else width
        for column, width in zip(columns, natural, strict=True)
    ]
    kept = set(range(len(columns)))
    while len(kept) > 1 and sum(least[one] for one in kept) + len(_GAP) * (len(kept) - 1) > room:
        kept.remove(max(kept, key=lambda one: (columns[one].rank, one)))
    left = room - sum(least[one] for one in kept) - len(_GAP) * (len(kept) - 1)
    widths = [least[one] if one in kept else 0 for one in range(len(columns))]
    # Short values get what they would like, the longest what is left.
    for one in sorted(kept, key=lambda one: natural[one]):
        more = min(natural[one] - widths[one], max(left, 0))
        widths[one] += more
        left -= more
    return widths


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line."""
    width = max((len(name) for name, _ in fields), default=0)
    for name, value in fields:
        first, *rest = escaped_lines(value) or [""]
        click.echo(f"{click.style(f'{name:<{width}}', bold=True)}  {first}".rstrip())
        for line in rest:
            click.echo(f"{'':<{width}}  {line}".rstrip())


def print_json(document: object) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def escaped_lines(text: str) -> list[str]:
    """The lines of a text, without control characters."""
    return [escaped(line) for line in text.splitlines()]


def age(passed: timedelta) -> str:
    """A duration in its largest unit: 5s, 3m, 2h, 4d."""
    seconds = max(int(passed.total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _print_plain(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    lines = [[column.heading for column in columns], *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
