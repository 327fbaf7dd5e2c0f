"""A sample of mutants depends on the seed and the code only, and leaves out what nobody notices."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="make mutation installs it")

from tests.mutation.mutants import Mutant, draw, population

CODE = '''
"""A docstring."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

LIMIT: int = 5


class Door:
    """A door."""

    __slots__ = ("_open",)

    def enter(self, name: str | None, *, wait_s: float = 1.0) -> list[str]:
        """Go in."""
        if name is None:
            log.warning("nobody came in after %s seconds", wait_s)
            raise ValueError("a name is needed")
        self._open = True
        return [letter for letter in name if letter != "x"]
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one module."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "door.py").write_text(CODE)
    return tmp_path


def changes(mutants: list[Mutant]) -> set[tuple[str, str]]:
    """What the mutants change."""
    return {(mutant.original, mutant.replacement) for mutant in mutants}


def test_the_changes_of_a_module(root: Path) -> None:
    """Conditions, statements, values and operators are changed."""
    mutants = draw(root, Path("package"), seed=1, size=1000)

    assert changes(mutants) == {
        ("LIMIT: int = 5", "LIMIT: int = None"),
        ("5", "6"),
        ("1.0", "2.0"),
        ("if name is None:", "if not (name is None):"),
        ("is", "is not"),
        ('log.warning("nobody came in after %s seconds", wait_s)', "pass"),
        ('raise ValueError("a name is needed")', "pass"),
        ("self._open = True", "self._open = None"),
        ("True", "False"),
        ('return [letter for letter in name if letter != "x"]', "return None"),
        ('if letter != "x"', 'if not (letter != "x")'),
        ('if letter != "x"', "if True"),
        ('!= "x"', '== "x"'),
        ('"x"', '"XXxXX"'),
    }
    assert population(root, Path("package")) == len(mutants)


def test_a_mutant_differs_in_one_place(root: Path) -> None:
    """The diff shows the line before and after."""
    mutants = draw(root, Path("package"), seed=1, size=1000)

    [mutant] = [one for one in mutants if one.original == "LIMIT: int = 5"]

    assert mutant.diff(CODE) == "@@ -10 +10 @@\n-LIMIT: int = 5\n+LIMIT: int = None"
    assert (mutant.module, mutant.scope, mutant.first_line) == ("package.door", "", 10)


def test_a_seed_draws_the_same_mutants(root: Path) -> None:
    """A run can be repeated, and another seed tries others."""
    first = draw(root, Path("package"), seed=1, size=8)
    again = draw(root, Path("package"), seed=1, size=8)
    other = draw(root, Path("package"), seed=2, size=8)

    assert first == again
    assert changes(first) != changes(other)


def test_each_kind_of_change_is_drawn(root: Path) -> None:
    """The operators take turns."""
    mutants = draw(root, Path("package"), seed=1, size=7)

    assert len({mutant.operator for mutant in mutants}) == len(mutants)


def test_a_mutant_keeps_its_key_when_other_code_changes(root: Path) -> None:
    """Earlier results stay when a line is inserted elsewhere."""
    before = draw(root, Path("package"), seed=1, size=1000)
    (root / "package" / "door.py").write_text(CODE.replace("LIMIT: int = 5\n", "\n\n\n"))

    after = draw(root, Path("package"), seed=1, size=1000)

    gone = {mutant.key for mutant in before} - {mutant.key for mutant in after}
    assert gone == {one.key for one in before if one.scope == ""}
