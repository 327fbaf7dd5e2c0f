"""The README of the fault server lists every fault and every scenario."""

from __future__ import annotations

import re

from phoenix_compat.conformance.faults import report
from phoenix_compat.conformance.faults.app import ACTIONS, APP
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from phoenix_compat.conformance.faults.table import FAULTS
from tests.docs.test_docs import PACKAGE

README = (PACKAGE / "conformance" / "faults" / "README.md").read_text()


def test_every_fault_has_a_row() -> None:
    """The table has exactly the fault types, each with what it does."""
    table = README.partition("| topic | what goes wrong |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(?:fault:)?(\w+)[^|]* \| (.+?) \|", table, re.MULTILINE))

    assert rows == {kind.name: kind.does for kind in FAULTS.types.values()}


def test_every_scenario_has_a_row() -> None:
    """The table has every scenario with its level, topic and requirement."""
    rows = re.findall(
        r"^\| `(client/\w+/\w+)` \| (\w+) \| `(.+?)` \| (.+) \|$", README, re.MULTILINE
    )

    assert rows == [(s.id, s.level.value, s.topic, s.wants) for s in SCENARIOS]
    assert all(f"- {line}" in README for line in APP)
    assert all(f"| `{action}` | {does} |" in README for action, does in ACTIONS.items())


def test_ids_and_topics_are_unique() -> None:
    """No two scenarios share an id, a session or a topic."""
    for values in (
        [scenario.id for scenario in SCENARIOS],
        [scenario.session for scenario in SCENARIOS],
        [scenario.topic for scenario in SCENARIOS],
    ):
        assert len(set(values)) == len(values)


def test_a_client_that_never_connected() -> None:
    """Its report says `not seen` for every scenario, and no MUST fails."""
    judged = report.judge_client("nobody", [], is_final=True)

    assert judged.is_conformant
    assert judged.counts["not seen"] == len(SCENARIOS)
