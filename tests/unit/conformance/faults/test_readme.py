"""The README of the fault server says what there is."""

from __future__ import annotations

import re

from phoenix_compat.conformance.faults import report
from phoenix_compat.conformance.faults.scenarios import APP, SCENARIOS
from phoenix_compat.conformance.faults.table import FAULTS
from tests.docs.test_docs import PACKAGE

README = (PACKAGE / "conformance" / "faults" / "README.md").read_text()


def test_every_fault_has_a_row() -> None:
    """Each fault is there with what it does, and no other is."""
    table = README.partition("| topic | what goes wrong |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(?:fault:)?(\w+)[^|]* \| (.+?) \|", table, re.MULTILINE))

    assert rows == {kind.name: kind.does for kind in FAULTS.kinds.values()}


def test_every_scenario_has_a_row() -> None:
    """Each scenario is there with its level, its topic and what is wanted."""
    rows = re.findall(
        r"^\| `(client/\w+/\w+)` \| (\w+) \| `(.+?)` \| (.+) \|$", README, re.MULTILINE
    )

    assert rows == [(s.id, s.level.value, s.topic, s.wants) for s in SCENARIOS]
    assert all(f"- {line}" in README for line in APP)


def test_ids_and_topics_are_unique() -> None:
    """Every scenario can be told from the others by its id, its lane and its topic."""
    for values in (
        [scenario.id for scenario in SCENARIOS],
        [scenario.lane for scenario in SCENARIOS],
        [scenario.topic for scenario in SCENARIOS],
    ):
        assert len(set(values)) == len(values)


def test_a_client_that_was_never_here() -> None:
    """Its report says `not seen` everywhere, and fails nothing."""
    judged = report.judge_client("nobody", [], is_final=True)

    assert judged.is_conformant
    assert judged.counts["not seen"] == len(SCENARIOS)
