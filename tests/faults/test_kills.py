"""A short run of `kills`, without the steps that take long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kills import Plan, run
from tests.faults.steps import Step
from tests.patience import patient

# These steps may lose a create, and the server then searches for it for 30 s.
SLOW = {
    *(Step.CREATE_SENT, Step.POSTING, Step.STARTING, Step.ANYTIME),
    *(Step.UPLOADED, Step.SENDING_FILE),
}


@pytest.mark.timeout(200)  # about 15 s on an idle machine
async def test_a_killed_server_loses_no_task(tmp_path: Path) -> None:
    """Killed at each step, it loses no task, bills none twice, and clients receive every end."""
    steps = tuple(step for step in Step if step not in SLOW)
    plan = Plan(
        kills=len(steps),
        seed=1,
        servers=2,
        steps=steps,
        max_seconds=patient(150.0),
        settle_s=50.0,
        is_crowded=False,
    )

    tally = await run(plan, tmp_path)

    assert tally.is_ok, tally.violations
    assert tally.killed.total() == plan.kills
    assert tally.promised >= plan.kills
    assert tally.rejoined_endings > 0
