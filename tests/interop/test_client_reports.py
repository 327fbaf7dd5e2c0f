"""The reports from which docs/who-speaks-phoenix.md is made."""

from __future__ import annotations

import json

from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from tests.conformance.who_speaks.reading import client_record
from tests.conformance.who_speaks.record import Subject
from tests.interop.client_reports import HERE, report
from tests.patience import patient

SUBJECT = Subject("client", "phoenix_compat.client", "0", "Python", "this repository", "a test")


async def test_a_report_makes_a_row() -> None:
    """The report is final and has a verdict on each scenario, and a record takes it."""
    text = await report("phoenix_compat", HERE, "phoenix", limit_s=patient(1.5))

    record = client_record(json.loads(text), SUBJECT, "2026-12-01")

    assert sum(record.counts) == len(SCENARIOS)
    assert "client/join/well_formed" in record.passed["websocket"]
