"""`python -m tests.benchmarks [FAMILY …]`: measure, and print."""

# ruff: noqa: T201 - the result goes to stdout

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.machine import facts
from tests.benchmarks.report import json_line, table
from tests.benchmarks.rig import Rig
from tests.benchmarks.suite import run
from tests.benchmarks.tools import DEFAULT_FOLDER, Tools
from tests.benchmarks.work import BenchError, Sample, Work
from tests.benchmarks.works.families import FAMILIES


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure the server; a JSON line for each run, a table of medians at the end.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "families",
        nargs="*",
        metavar="FAMILY",
        help=f"what to measure, of: {', '.join(FAMILIES)}; all unless given",
    )
    parser.add_argument("--only", default="", help="only works whose name contains this")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side (3)")
    parser.add_argument("--seed", type=int, default=1, help="draws the order of the works (1)")
    parser.add_argument("--quick", action="store_true", help="one round of small numbers")
    parser.add_argument("--list", action="store_true", help="name the works and do nothing")
    parser.add_argument(
        "--bench", type=Path, default=DEFAULT_FOLDER, help="the folder of phxload.c and wslimit.c"
    )
    parser.add_argument("--disk", type=Path, help="where databases are made (a temporary folder)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.families) - set(FAMILIES))
    if unknown:
        parser.error(f"no such family: {', '.join(unknown)}; there are: {', '.join(FAMILIES)}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def chosen(families: Sequence[str], only: str) -> list[Work]:
    """The works of these families, or of all, whose names contain `only`.

    Raises:
        BenchError: there are none.
    """
    works = [work for family in families or FAMILIES for work in FAMILIES[family]]
    found = [work for work in works if only in work.name]
    if not found:
        raise BenchError(f"no work has {only!r} in its name; --list names them")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the arguments ask for.

    Raises:
        SystemExit: something is missing or failed, with a sentence that says what.
    """
    options = _options(arguments)
    try:
        works = chosen(options.families, options.only)
        if options.list:
            print("\n".join(work.name for work in works))
            return
        with tempfile.TemporaryDirectory(dir=options.disk) as folder:
            _measure(works, Path(folder), options)
    except BenchError as error:
        raise SystemExit(f"bench: {error}") from error


def _measure(works: Sequence[Work], folder: Path, options: argparse.Namespace) -> None:
    rig = Rig(Tools(options.bench, folder), folder, options.seed, options.quick)
    context = {"seed": options.seed, "quick": options.quick, "machine": facts()}

    def emit(work: Work, side: str, number: int, sample: Sample) -> None:
        print(json_line(work, side, number, sample, context), flush=True)

    outcomes = run(works, rig, 1 if options.quick else options.rounds, emit)
    print(f"\n{table(outcomes)}")
    if options.quick:
        print("\nA quick run shows that it works; its figures count for nothing.")
        return
    missed = [outcome.work.name for outcome in outcomes if outcome.is_met is False]
    if missed:
        print(f"\nbelow target: {'; '.join(missed)}", file=sys.stderr)


if __name__ == "__main__":
    main()
