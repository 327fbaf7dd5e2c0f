"""Prints rows: a table that fits a terminal, or whole values with two spaces between them."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import click

from phoenix_compat.bounded import escaped

_STYLES: Final = {
    "completed": "green",
    "failed": "red",
    "running": "cyan",
    "submitting": "cyan",
    "queued": "yellow",
}
"""The colors of words, wherever they stand alone in a cell."""


class Column(NamedTuple):
    """A column.

    Attributes:
        is_whole: whether its values are never cut.
    """

    heading: str
    is_whole: bool = False
    is_number: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print rows with a heading. Values that do not fit a terminal are cut, others never."""
    safe = [[escaped(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        _print_plain(columns, safe)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            Text(column.heading),
            no_wrap=True,
            overflow="ignore" if column.is_whole else "ellipsis",
            min_width=max((len(row[len(table.columns)]) for row in safe), default=0)
            if column.is_whole
            else None,
            justify="right" if column.is_number else "left",
        )
    for row in safe:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


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
