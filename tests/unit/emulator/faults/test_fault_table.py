"""The fault table."""

from __future__ import annotations

import re

from phoenix_compat.emulator.faults.fault import Stage
from phoenix_compat.emulator.faults.fault_plan import parse_fault_spec
from phoenix_compat.emulator.faults.fault_table import FAULTS


def test_every_name_can_be_written_as_a_keyword() -> None:
    """Names are single words, and a count after a name is parsed as a count."""
    for name in FAULTS:
        assert re.fullmatch(r"\w+", name)
        assert parse_fault_spec(f"{name}x3").fault.name == name
        assert parse_fault_spec(name).times is None


def test_every_stage_has_faults() -> None:
    """Each stage has at least one fault."""
    assert {fault.stage for fault in FAULTS.values()} == set(Stage)


def test_every_fault_has_a_description() -> None:
    """Each description is one line and unique within its stage."""
    rows = [(fault.stage, fault.description) for fault in FAULTS.values()]

    assert len(set(rows)) == len(rows)
    assert all(text and "\n" not in text for _, text in rows)
