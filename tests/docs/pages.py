"""Reads the documentation: code blocks, headings, links and tables of a page."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def page(name: str) -> str:
    """Return the text of a page of docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced code blocks in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """Return the page without its code blocks."""
    return _FENCED.sub("", text)


def anchors(text: str) -> set[str]:
    """Return the anchors of all headings, in the form that code hosts and MyST give them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


def links(text: str) -> list[tuple[str, str]]:
    """Return the relative links as pairs of file and anchor; both may be empty."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    parts = [one.partition("#") for one in found if "://" not in one]
    return [(path, anchor) for path, _, anchor in parts]


def rows(text: str, header: str) -> list[list[str]]:
    """Return the cells of the table whose first line is `header`."""
    assert text.count(header) == 1, header
    table = text.partition(header)[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
