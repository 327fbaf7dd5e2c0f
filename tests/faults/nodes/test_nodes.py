"""Short forms of the faults of several nodes; `make nodes-faults` has the long ones.

The shortest forms, which `make test` runs, are beside what they test: tests/integration/leases and
tests/integration/nodes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.nodes.installation import Services
from tests.faults.nodes.outcome import table
from tests.faults.nodes.plan import Plan
from tests.faults.nodes.run import run
from tests.services.postgres import OwnPostgres
from tests.services.redis import OwnRedis


@pytest.fixture
def services(own_postgres: OwnPostgres, own_redis: OwnRedis) -> Services:
    """A PostgreSQL and a Redis of the test's own."""
    return Services(own_postgres, own_redis)


_PLANS = (
    Plan(fault="kill", size=3, tasks=12, rate=4.0),
    Plan(fault="rolling", size=1, tasks=20, rate=4.0),
    Plan(fault="stop", size=1, tasks=20, rate=2.0, pause_s=45.0),
    Plan(fault="cut-off", size=1, tasks=20, rate=2.0, pause_s=45.0),
    Plan(fault="postgres", size=1, tasks=20, rate=2.0, pause_s=5.0),
    Plan(fault="redis", size=1, tasks=20, rate=2.0, pause_s=15.0),
    Plan(fault="clocks", size=1, tasks=20, rate=4.0, pause_s=5.0, clocks=("-1h", "+1h")),
)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("plan", _PLANS, ids=lambda plan: plan.fault)
async def test_a_fault(plan: Plan, tmp_path: Path, services: Services) -> None:
    """Nothing is lost or paid twice, and each app hears one end."""
    outcome = await run(plan, 1, tmp_path, services)

    assert outcome.is_ok, table(outcome)
    assert outcome.heard == outcome.tasks == plan.tasks
    assert outcome.faults
