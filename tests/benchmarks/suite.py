"""The order of the runs: every round takes every work once, its two sides one after the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.benchmarks.report import Outcome
from tests.benchmarks.rig import Rig
from tests.benchmarks.work import Sample, Work


def run(
    works: Sequence[Work],
    rig: Rig,
    rounds: int,
    emit: Callable[[Work, str, int, Sample], None],
) -> list[Outcome]:
    """Measure every work `rounds` times.

    The seed draws the order anew for each round, so that no work always runs in the wake of the
    same one; and each round begins with the other side, so that a machine that slows down wrongs
    neither.

    Args:
        emit: told of each run: its work, its side, its round, what it gave.
    """
    outcomes = {work.name: Outcome(work) for work in works}
    order = random.Random(rig.seed)  # noqa: S311 - an order, no secret
    for number in range(rounds):
        for work in order.sample(works, len(works)):
            sides = list(work.sides.items())
            for side, measure in sides if number % 2 == 0 else reversed(sides):
                sample = measure(rig)
                outcomes[work.name].samples.setdefault(side, []).append(sample)
                emit(work, side, number, sample)
    return list(outcomes.values())
