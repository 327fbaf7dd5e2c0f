"""`python -m tests.benchmarks [FAMILY …]`: run benchmarks and print the results."""

# ruff: noqa: T201 - the result is printed

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.benchmark import Benchmark, BenchmarkError, Sample
from tests.benchmarks.cases.families import DEFAULT, FAMILIES
from tests.benchmarks.context import BenchmarkContext, python_of
from tests.benchmarks.machine import facts
from tests.benchmarks.report import json_line, table
from tests.benchmarks.suite import run
from tests.benchmarks.tools import DEFAULT_FOLDER, Tools


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure the server. Prints a JSON line for each run and a table of medians.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "families",
        nargs="*",
        metavar="FAMILY",
        help=f"which families to run: {', '.join(FAMILIES)} (default: all but nodes)",
    )
    parser.add_argument("--only", default="", help="run only benchmarks whose name contains this")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side (default: 3)")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed for the order of the benchmarks (default: 1)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round with small numbers, to see that it works"
    )
    parser.add_argument("--list", action="store_true", help="list the benchmarks and exit")
    parser.add_argument(
        "--bench", type=Path, default=DEFAULT_FOLDER, help="the folder of phxload.c and wslimit.c"
    )
    parser.add_argument(
        "--disk", type=Path, help="folder for databases (default: a temporary folder)"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="compare with the server of another checkout of this project, with its own .venv",
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.families) - set(FAMILIES))
    if unknown:
        parser.error(f"unknown family: {', '.join(unknown)}; known: {', '.join(FAMILIES)}")
    if options.against is not None and not python_of(options.against).exists():
        parser.error(f"--against: there is no {python_of(options.against)}; run `make run` there")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def chosen(families: Sequence[str], only: str) -> list[Benchmark]:
    """The benchmarks of these families (DEFAULT when empty) whose names contain `only`.

    Raises:
        BenchmarkError: there are none.
    """
    benchmarks = [benchmark for family in families or DEFAULT for benchmark in FAMILIES[family]]
    found = [benchmark for benchmark in benchmarks if only in benchmark.name]
    if not found:
        raise BenchmarkError(f"no benchmark has {only!r} in its name; --list names them")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the arguments select.

    Raises:
        SystemExit: something is missing or has failed; the text says what to do.
    """
    options = _options(arguments)
    try:
        benchmarks = chosen(options.families, options.only)
        if options.against is not None:
            checkout = options.against.resolve()
            benchmarks = [benchmark.against(checkout) for benchmark in benchmarks]
        if options.list:
            print("\n".join(benchmark.name for benchmark in benchmarks))
            return
        with tempfile.TemporaryDirectory(dir=options.disk) as folder:
            _measure(benchmarks, Path(folder), options)
    except BenchmarkError as error:
        raise SystemExit(f"Error: {error}") from error


def _measure(benchmarks: Sequence[Benchmark], folder: Path, options: argparse.Namespace) -> None:
    context = BenchmarkContext(Tools(options.bench, folder), folder, options.seed, options.quick)
    common = {"seed": options.seed, "quick": options.quick, "machine": facts()}

    def report(benchmark: Benchmark, side: str, number: int, sample: Sample) -> None:
        print(json_line(benchmark, side, number, sample, common), flush=True)

    outcomes = run(benchmarks, context, 1 if options.quick else options.rounds, report)
    print(f"\n{table(outcomes)}")
    if options.quick:
        print("\nA quick run only shows that the benchmarks work; its figures mean nothing.")
        return
    missed = [outcome.benchmark.name for outcome in outcomes if outcome.is_met is False]
    if missed:
        print(f"\nbelow target: {'; '.join(missed)}", file=sys.stderr)


if __name__ == "__main__":
    main()
