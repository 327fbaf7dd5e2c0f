"""Runs the benchmarks: each round runs every benchmark once, with both sides in turn."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.benchmarks.benchmark import Benchmark, Sample
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.report import Outcome


def run(
    benchmarks: Sequence[Benchmark],
    context: BenchmarkContext,
    rounds: int,
    report: Callable[[Benchmark, str, int, Sample], None],
) -> list[Outcome]:
    """Measure every benchmark `rounds` times.

    The order is random in each round, so that no benchmark always follows the same one. The side
    that runs first alternates, so that a machine that slows down affects both sides alike.

    Args:
        report: called after each run with the benchmark, the side, the round and the sample.
    """
    outcomes = {benchmark.name: Outcome(benchmark) for benchmark in benchmarks}
    rng = random.Random(context.seed)  # noqa: S311 - an order, no secret
    for number in range(rounds):
        for benchmark in rng.sample(benchmarks, len(benchmarks)):
            sides = list(benchmark.sides.items())
            for side, measure in sides if number % 2 == 0 else reversed(sides):
                sample = measure(context)
                outcomes[benchmark.name].samples.setdefault(side, []).append(sample)
                report(benchmark, side, number, sample)
    return list(outcomes.values())
