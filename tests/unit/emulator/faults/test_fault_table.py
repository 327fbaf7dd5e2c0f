"""The fault table."""

from __future__ import annotations

import re

from phoenix_compat.emulator.faults.fault import Stage
from phoenix_compat.emulator.faults.fault_plan import parse_mark
from phoenix_compat.emulator.faults.fault_table import FAULTS


def test_every_name_can_be_written_as_a_keyword() -> None:
    """Names are single words, and a count behind one is never taken for a part of it."""
    for name in FAULTS:
        assert re.fullmatch(r"\w+", name)
        assert parse_mark(f"{name}x3").fault.name == name
        assert parse_mark(name).times is None


def test_every_stage_has_faults() -> None:
    """No stage is without a row."""
    assert {fault.stage for fault in FAULTS.values()} == set(Stage)


def test_every_row_says_what_it_does() -> None:
    """Each description is one line, and no two of a stage are alike."""
    rows = [(fault.stage, fault.description) for fault in FAULTS.values()]

    assert len(set(rows)) == len(rows)
    assert all(text and "\n" not in text for _, text in rows)
