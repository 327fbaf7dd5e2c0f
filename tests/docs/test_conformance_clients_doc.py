"""docs/conformance-clients.md and its apps agree with the fault server."""

from __future__ import annotations

import re

import pytest

from phoenix_compat.conformance.faults.app import Action
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from phoenix_compat.conformance.faults.table import FAULTS
from tests.docs.pages import page
from tests.docs.test_docs import ROOT

TEXT = page("conformance-clients.md")
APPS = (
    "docs/conformance-clients/faultapp.go",
    "docs/conformance-clients/faultapp.swift",
    "docs/conformance-clients/FaultApp.kt",
    "tests/interop/faults.mjs",
)
IDS = {scenario.id.removeprefix("client/") for scenario in SCENARIOS}


@pytest.mark.parametrize("path", APPS)
def test_the_apps_know_every_action(path: str) -> None:
    """Each app that the page links does what the event `do` may ask for."""
    source = (ROOT / path).read_text()

    assert [action for action in Action if action.value not in source] == []


def test_the_scenarios_of_real_clients_exist() -> None:
    """The table names scenarios, and the page has their number."""
    table = TEXT.partition("| scenario | what happens |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+/\w+)` \|", table, re.MULTILINE)

    assert len(named) == 9
    assert set(named) <= IDS
    assert f"the {len(SCENARIOS)} scenarios" in TEXT


def test_every_fault_of_the_page_exists() -> None:
    """The topics of the first table can be joined, or armed with the control API."""
    table = TEXT.partition("| for faults of |")[2].partition("|---|---|\n")[2].partition("\n\n")[0]
    rows = [row.split("|")[2].partition(", with ")[0] for row in table.splitlines()]
    named = {name for row in rows for name in re.findall(r"`(\w+)[:\w]*`", row)} - {"join"}

    assert named <= set(FAULTS.types)
    assert len(named) > 20
