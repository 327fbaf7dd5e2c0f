"""Jobs that one node does for all of them."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.leases.lease_store import LeaseStore
from phoenix_compat.tasks.store.leases.role_lease import RoleLease
from tests.integration.leases.conftest import SHORT_S, TwoNodes
from tests.patience import patient


class Job:
    """A job that says whether it runs."""

    def __init__(self) -> None:
        self.runs = False
        self.starts = 0

    def start(self) -> None:
        self.runs = True
        self.starts += 1

    async def stop(self) -> None:
        self.runs = False


def role_of(leases: LeaseStore, job: Job) -> RoleLease:
    return RoleLease(
        leases, "chores", job, sure_s=SHORT_S * 0.8, renew_every_s=SHORT_S * 0.25, jitter=lambda: 1
    )


async def until_it_runs(job: Job) -> None:
    async with asyncio.timeout(patient(5.0)):
        while not job.runs:  # noqa: ASYNC110 - the job has no event
            await asyncio.sleep(0.01)


async def test_one_node_does_the_job(nodes: TwoNodes) -> None:
    """The other one does it once the first one has stopped, and not before."""
    first, second = Job(), Job()
    a, b = role_of(nodes.a, first), role_of(nodes.b, second)
    a.start()
    await until_it_runs(first)
    b.start()
    await asyncio.sleep(SHORT_S * 1.5)

    assert (first.runs, second.runs) == (True, False)
    await a.stop()
    await until_it_runs(second)
    assert not first.runs
    assert first.starts == 1
    await b.stop()


async def test_a_node_without_the_database_ends_the_job_in_time(
    nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends before another node can begin it."""
    first, second = Job(), Job()
    a, b = role_of(nodes.a, first), role_of(nodes.b, second)
    a.start()
    await until_it_runs(first)
    b.start()

    async def is_away(role: str) -> bool:
        raise StoreUnavailableError(f"cut off from {role}")

    monkeypatch.setattr(nodes.a, "take_role", is_away)
    await until_it_runs(second)

    assert not first.runs
    await a.stop()
    await b.stop()
