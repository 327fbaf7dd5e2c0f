"""How long each fault goes on, in its long form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The parameters of a run.

    Attributes:
        fault: its name in `faults.FAULTS`.
        size: how often it is done.
        pause_s: how long something is away, in seconds.
        tasks: how many tasks are posted meanwhile.
        rate: how many of them a second.
        clocks: what faketime adds to the clock of each node, as "+1h"; none for the machine's.
    """

    fault: str
    size: int
    tasks: int
    rate: float
    pause_s: float = 0.0
    clocks: tuple[str, ...] = ()

    def changed(self, *, size: int | None = None, tasks: int | None = None) -> Self:
        """The plan with other numbers; None leaves one as it is."""
        return replace(self, size=size or self.size, tasks=tasks or self.tasks)


PLANS: Final = {
    plan.fault: plan
    for plan in (
        Plan(fault="kill", size=200, tasks=1_000, rate=3.0),
        Plan(fault="stop", size=2, tasks=200, rate=1.5, pause_s=60.0),
        Plan(fault="cut-off", size=2, tasks=200, rate=1.5, pause_s=60.0),
        Plan(fault="postgres", size=2, tasks=200, rate=2.0, pause_s=30.0),
        Plan(fault="redis", size=1, tasks=200, rate=2.0, pause_s=60.0),
        Plan(fault="rolling", size=3, tasks=200, rate=4.0),
        Plan(fault="clocks", size=1, tasks=200, rate=4.0, pause_s=60.0, clocks=("-1h", "+1h")),
    )
}
"""The long form of each fault."""
