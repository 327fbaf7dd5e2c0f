"""What every step of a run has at hand, and what belongs to one run alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from phoenix_compat.tasks.clock import Clock
from phoenix_compat.tasks.gate import CreateGate
from phoenix_compat.tasks.kinds import TaskKind
from phoenix_compat.tasks.pace import WorkerOptions
from phoenix_compat.tasks.provider import Provider
from phoenix_compat.tasks.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The worker's tools, shared by all runs.

    Attributes:
        jitter: random numbers from 0.0 to 1.0.
        running: how many runs there are, which share the budget of looks.
    """

    provider: Provider
    recorder: Recorder
    gate: CreateGate
    clock: Clock
    options: WorkerOptions
    kinds: Mapping[str, TaskKind]
    jitter: Callable[[], float]
    running: Callable[[], int]

    async def pause(self, wait_s: float) -> None:
        """Wait, whatever happens."""
        await self.clock.wait(asyncio.Event(), wait_s)


@dataclass(slots=True, kw_only=True)
class Job:
    """One run of one task.

    Attributes:
        is_resumed: a stopped server began it, so its prediction may be old.
        is_creating: an order is being placed; stopping now could lose what was paid for.
        lost_status: the HTTP status of a create whose outcome is unknown, if it had one.
        wake: someone changed the task's row; read it again.
    """

    is_resumed: bool
    is_creating: bool = False
    lost_status: int | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
