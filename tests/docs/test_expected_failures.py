"""docs/from-phoenix.md names the cases that this server fails on purpose."""

from __future__ import annotations

import re

from tests.conformance.own_cases import DECOMPRESSED, EXPECTED_FAILURES
from tests.docs.pages import page


def test_the_page_names_the_expected_failures() -> None:
    """Those of the list, and no others."""
    section = page("from-phoenix.md").partition("## Differs from Phoenix\n")[2].partition("|")[0]

    named = {*EXPECTED_FAILURES.entries, *(case.id for case in DECOMPRESSED)}
    assert set(re.findall(r"`([a-z-]+/[^`]+)`", section)) == named
