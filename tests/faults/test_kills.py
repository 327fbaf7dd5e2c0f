"""The server killed at each step whose moment can be held; the command of `kills` does them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kills import Plan, run
from tests.faults.steps import Step

# An order that was never made is looked for during 30 s, and a kill at random may leave one behind.
SLOW = {Step.ASKED, Step.POSTING, Step.STARTING, Step.ANYTIME}


@pytest.mark.timeout(150)  # about 15 s on a machine that has nothing else to do
async def test_a_killed_server_keeps_its_promises(tmp_path: Path) -> None:
    """Killed at each step in turn, it loses no task and pays for none twice, and clients know."""
    steps = tuple(step for step in Step if step not in SLOW)
    plan = Plan(kills=len(steps), seed=1, lanes=2, steps=steps, max_seconds=110.0, is_crowded=False)

    tally = await run(plan, tmp_path)

    assert tally.is_right, tally.wrongs
    assert tally.killed.total() == plan.kills
    assert tally.promised >= plan.kills
    assert tally.rejoined_endings > 0
