"""Carries out a plan: starts everything, does the fault under load, and checks what came of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp

from tests.faults.nodes.faults import FAULTS, Run
from tests.faults.nodes.installation import Services, open_installation
from tests.faults.nodes.outcome import Outcome
from tests.faults.nodes.plan import Plan
from tests.faults.nodes.services import open_services
from tests.faults.nodes.traffic import open_traffic
from tests.faults.server_process import HarnessError
from tests.patience import patient
from tests.services.programs import program

SETTLE_S: Final = 120.0
"""How long unfinished tasks have after the last fault: a lease, a lost create, and its repeat."""


async def run(plan: Plan, seed: int, folder: Path, services: Services | None = None) -> Outcome:
    """Carry a plan out.

    Args:
        services: those of the caller; None starts them.
    """
    if services is not None:
        return await _run(plan, seed, folder, services)
    async with open_services(folder) as own:
        return await _run(plan, seed, folder, own)


async def _run(plan: Plan, seed: int, folder: Path, services: Services) -> Outcome:
    outcome = Outcome()
    rng = random.Random(f"{plan.fault}/{seed}")  # noqa: S311 - what happens when, no secrets
    async with (
        open_installation(
            folder, services, seed=str(seed), prefixes=await _prefixes(plan.clocks)
        ) as installation,
        open_traffic(installation.http, installation.url, rng) as traffic,
    ):
        try:
            # The first one makes the tables; the others find them.
            await installation.start(installation.nodes[0])
            await installation.start(*installation.nodes[1:])
            await installation.ready(*installation.nodes)
            this = Run(installation, outcome, rng, plan.size, plan.pause_s)
            async with asyncio.TaskGroup() as group:
                group.create_task(traffic.post(plan.tasks, plan.rate))
                group.create_task(_do(plan.fault, this))
            await asyncio.gather(*this.watched)
            try:
                async with asyncio.timeout(patient(SETTLE_S)):
                    await traffic.all_ended()
            except TimeoutError:
                pass  # the checks name the tasks
            await outcome.check(installation, traffic)
            outcome.broken += await installation.stop()
        except* (HarnessError, aiohttp.ClientError, OSError) as errors:
            outcome.broken += [f"{type(error).__name__}: {error}" for error in errors.exceptions]
    return outcome


async def _do(fault: str, run: Run) -> None:
    await FAULTS[fault](run)


async def _prefixes(clocks: Sequence[str]) -> list[list[str]]:
    """The commands that change the clocks of nodes, but not their monotonic clock."""
    if not clocks:
        return []
    # The program faketime stays between a node and its signals; its library does not.
    command = (program("faketime", "faketime"), "-f", clocks[0], "printenv", "LD_PRELOAD")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    library = (await process.communicate())[0].decode().strip()
    shared = ["env", f"LD_PRELOAD={library}", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    return [[*shared, f"FAKETIME={clock}"] for clock in clocks]
