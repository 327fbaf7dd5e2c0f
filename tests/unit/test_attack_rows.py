"""The table of attacks and tests names only what exists, and leaves out nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.attack.__main__ import MODULES
from tests.attack.registry import ATTACKS

ROOT: Final = Path(__file__).parents[2]
TABLE: Final = (ROOT / "tests" / "attack" / "README.md").read_text()
ROWS: Final = 16


def test_every_named_test_exists() -> None:
    """A test that was renamed or removed is noticed."""
    named = re.findall(r"`(tests/[^`]+\.py)::(\w+)`", TABLE)

    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file() or f"def {name}(" not in (ROOT / path).read_text()
    ]

    assert len(named) > ROWS
    assert missing == []


def test_every_row_has_a_test() -> None:
    """Each of the faults that were found has at least one."""
    rows = re.findall(r"^\| (S\d+) \|.*::test_\w+`", TABLE, re.MULTILINE)

    assert rows == [f"S{number}" for number in range(1, ROWS + 1)]


def test_every_attack_is_in_the_table() -> None:
    """And every attack that the table names exists."""
    named = set(re.findall(r"`([a-zA-Z][a-zA-Z -]+)`", TABLE)) - {"make attack", "make test"}

    assert MODULES
    assert named == {attack.name for attack in ATTACKS}
