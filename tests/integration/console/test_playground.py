"""What the playground asks the server for."""

from __future__ import annotations

import re
from pathlib import Path

from phoenix_compat.emulator.faults.fault_table import FAULTS
from tests.integration.console.console_harness import console_of
from tests.unit.server.console.test_static_files import STATIC


async def test_the_emulators_faults_are_listed(tmp_path: Path) -> None:
    """Each has a stage that the page has a name for, and a description."""
    async with console_of(tmp_path) as console:
        status, answer = await console.ask("GET", "/api/console/faults")

    script = (STATIC / "screens" / "playground.js").read_text()
    named = re.search(r"const STAGES = \{(.*?)\}", script)
    assert named is not None
    assert status == 200
    assert [fault["name"] for fault in answer["faults"]] == list(FAULTS)
    assert {fault["stage"] for fault in answer["faults"]} <= set(re.findall(r"(\w+):", named[1]))
    assert all(fault["description"] for fault in answer["faults"])


async def test_replicate_has_no_faults_to_choose(tmp_path: Path) -> None:
    """With a token the list is empty."""
    async with console_of(tmp_path, replicate_api_token="r8_none") as console:
        assert await console.ask("GET", "/api/console/faults") == (200, {"faults": []})
