"""Only the tests that ran a changed line are run against a mutant, the nearest ones first."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="make mutation installs it")

from tests.mutation.mutants import Mutant
from tests.mutation.reach import Reach

SOURCE = """\
LIMIT = 5

def answer(number,
           other=LIMIT):
    if number > other:
        return min(
            number,
            other,
        )
    return number
"""
PATH = Path("phoenix_compat/presence/tracker.py")
OWN = "tests/unit/presence/test_tracker.py::test_b"
NEAR = "tests/unit/presence/test_presence.py::test_a"
FAR = "tests/unit/cluster/test_other.py::test_c"
UNRELATED = "tests/unit/cluster/test_other.py::test_d"
REACH = Reach(
    {
        str(PATH): {
            1: frozenset({""}),
            3: frozenset({""}),
            5: frozenset({FAR, OWN, NEAR}),
            7: frozenset({FAR}),
        }
    },
    {FAR: 0.1, NEAR: 0.2, OWN: 0.3, UNRELATED: 0.1},
    [],
)


def mutant(first_line: int, last_line: int, path: Path = PATH) -> Mutant:
    """A mutant of these lines."""
    return Mutant(path, "answer", "number", "5", "6", 0, first_line, last_line, "")


def test_a_condition_is_reached_without_its_body() -> None:
    """The tests of its line, those of the module's own file first, then those of its folder."""
    assert REACH.of(mutant(5, 5), SOURCE) == [OWN, NEAR, FAR]


@pytest.mark.parametrize("line", [6, 7, 9])
def test_a_statement_is_reached_by_each_of_its_lines(line: int) -> None:
    """Which of its lines ran first is not asked."""
    assert REACH.of(mutant(line, line), SOURCE) == [FAR]


@pytest.mark.parametrize("line", [1, 3, 4])
def test_what_an_import_runs_is_reached_by_all_tests(line: int) -> None:
    """A constant, or the default of a parameter."""
    assert REACH.of(mutant(line, line), SOURCE) == [OWN, NEAR, FAR, UNRELATED]


def test_what_no_test_runs_is_reached_by_none() -> None:
    """Its verdict is "no test"."""
    assert REACH.of(mutant(10, 10), SOURCE) == []


def test_a_module_that_was_not_imported_is_reached_by_all_tests() -> None:
    """Nothing is known about it."""
    reached = REACH.of(mutant(5, 5, Path("phoenix_compat/presence/new.py")), SOURCE)

    assert sorted(reached) == sorted([OWN, NEAR, FAR, UNRELATED])
