"""The checklist has every number, and the tests it names exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
WHAT_PHOENIX_ASSERTS, LIKELY_MISTAKES = 222, 75
_ROW = re.compile(r"\| (\d+) \| (.+) \|")
_TEST = re.compile(r"`([^`]+)::(test_\w+)`")
_REASON = re.compile(r"does not apply: \S.+")


def rows(part: int) -> list[tuple[int, str]]:
    """The number and entry of each row in part 1 or 2 of the checklist."""
    text = (Path(__file__).parent / "checklist.md").read_text(encoding="utf-8")
    lines = text.split("\n## ")[part].splitlines()
    return [(int(row[1]), row[2]) for line in lines if (row := _ROW.fullmatch(line))]


@cache
def functions_of(path: str) -> frozenset[str]:
    """The test functions of a file below `tests/`."""
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


@pytest.mark.parametrize(("part", "count"), [(1, WHAT_PHOENIX_ASSERTS), (2, LIKELY_MISTAKES)])
def test_every_number_is_there(part: int, count: int) -> None:
    """Every number has exactly one row, in order."""
    assert [number for number, _entry in rows(part)] == list(range(1, count + 1))


@pytest.mark.parametrize("part", [1, 2])
def test_every_row_names_tests_or_a_reason(part: int) -> None:
    """A row lists only tests, or says why there are none."""
    odd = [
        (number, entry)
        for number, entry in rows(part)
        if not _REASON.fullmatch(entry) and _TEST.sub("", entry).strip(", ")
    ]

    assert odd == []


@pytest.mark.parametrize("part", [1, 2])
def test_every_named_test_exists(part: int) -> None:
    """Every test that a row names exists."""
    named = {test for _number, entry in rows(part) for test in _TEST.findall(entry)}

    assert {(path, name) for path, name in named if name not in functions_of(path)} == set()
