"""`python -m tests.mutation protocol`: try mutants of a folder, and list those that survive."""

# ruff: noqa: T201 - the result is printed

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutation.explained import read_explained
from tests.mutation.mutants import Mutant, draw, population
from tests.mutation.processes import ChangedModule, Limits, preload, run_tests
from tests.mutation.reach import VECTORS, Reach, digest, measure
from tests.mutation.session import KILLED, NO_TEST, SURVIVED, TIMEOUT, Result, Session
from tests.mutation.targets import TARGETS, folder_of

ROOT: Final = Path(__file__).parents[2]

_NICENESS: Final = 15
_MAX_REPLAYED: Final = 3
"""So many failing vectors are played again alone, because they judge time too."""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description="Change the code in small ways, one at a time, and run the unit tests and the "
        "vectors against each change. Results are kept in build/mutation: a run that was stopped "
        "goes on where it was, and after a change of the tests only what survived is tried again. "
        "The exit code is 1 if fewer were killed than --at-least.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "target", choices=TARGETS, help="the folder of phoenix_compat that is changed"
    )
    parser.add_argument(
        "--size", type=int, default=400, help="how many mutants are drawn (default: 400)"
    )
    parser.add_argument(
        "--seed", type=int, default=20, help="draws the same mutants again (default: 20)"
    )
    parser.add_argument(
        "--at-least", type=float, default=90.0, metavar="PERCENT", help="(default: 90)"
    )
    parser.add_argument(
        "--only", default="", help="only mutants whose file, function or key contains this"
    )
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument(
        "--report", action="store_true", help="print what is known, and try nothing"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants that have no result yet, print all results, and return the exit code."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the tests that are running, too
    if not options.report:
        os.nice(max(_NICENESS - os.nice(0), 0))
    build = ROOT / "build" / "mutation"
    build.mkdir(parents=True, exist_ok=True)
    folder = folder_of(options.target)
    mutants = [
        mutant
        for mutant in draw(ROOT, folder, options.seed, options.size)
        if options.only in f"{mutant.path} {mutant.scope} {mutant.key}"
    ]
    print(
        f"{len(mutants)} of {population(ROOT, folder)} mutants of {folder}, seed {options.seed}",
        flush=True,
    )
    with Session(build / f"{options.target}-{options.seed}.sqlite3") as session:
        if options.fresh:
            session.clear()
        if not options.report:
            _try_all(options.target, mutants, session, build)
        return _report(mutants, session, options.at_least)


def _try_all(target: str, mutants: Sequence[Mutant], session: Session, build: Path) -> None:
    paths = [path for path in TARGETS[target].tests if (ROOT / path).exists()]
    state = digest(ROOT, [str(folder_of(target)), "tests"])
    left = [mutant for mutant in mutants if not _has_result(session, mutant, state)]
    left.sort(key=lambda mutant: session.get(mutant.key) is not None)  # new ones first
    if not left:
        return
    preload(ROOT, [*paths, VECTORS])
    reach = measure(ROOT, folder_of(target), [*paths, VECTORS], build / f"{target}-reach.json")
    for number, mutant in enumerate(left, 1):
        begin = time.monotonic()
        verdict, by = _try(mutant, reach, TARGETS[target].vectors)
        seconds = time.monotonic() - begin
        session.put(mutant.key, Result(verdict, by, seconds, state))
        place = f"{mutant.path}:{mutant.first_line}"
        print(
            f"{number:4}/{len(left)} {verdict:8} {seconds:5.1f} s  {place} {mutant.operator} {by}",
            flush=True,
        )


def _has_result(session: Session, mutant: Mutant, state: str) -> bool:
    known = session.get(mutant.key)
    return known is not None and known.holds_in(state)


def _try(mutant: Mutant, reach: Reach, vectors: str) -> tuple[str, str]:
    """The verdict on a mutant, and the first test that fails."""
    found = reach.of(mutant, (ROOT / mutant.path).read_text())
    units = [test for test in found if test != VECTORS]
    if not found:
        return NO_TEST, ""
    changed = ChangedModule(mutant.module, mutant.code)
    if units:
        quiet_s = sum(reach.seconds[test] for test in units)
        limits = Limits(cpu_s=20.0 + 2 * quiet_s, wall_s=30.0 + 3 * quiet_s)
        files = list(dict.fromkeys(test.partition("::")[0] for test in units))
        finished = run_tests(ROOT, files, limits, changed=changed, tests=units, stop_at_first=True)
        if finished.ended == "timeout":
            return TIMEOUT, ""
        if not finished.is_passed:
            return KILLED, finished.failed[0] if finished.failed else finished.ended
    played = [test for test in reach.vectors if test.partition("[")[2].startswith(vectors)]
    return _try_vectors(changed, played) if VECTORS in found else (SURVIVED, "")


def _try_vectors(changed: ChangedModule, played: Sequence[str]) -> tuple[str, str]:
    limits = Limits(cpu_s=90.0, wall_s=90.0)
    finished = run_tests(ROOT, [VECTORS], limits, changed=changed, tests=played)
    if finished.ended == "timeout":
        return TIMEOUT, VECTORS
    for test in finished.failed[:_MAX_REPLAYED]:
        again = run_tests(ROOT, [VECTORS], limits, changed=changed, tests=[test])
        if not again.is_passed:
            return KILLED, test
    return SURVIVED, ""


def _report(mutants: Sequence[Mutant], session: Session, at_least: float) -> int:
    explained = {one.names: one for one in read_explained()}
    counts: Counter[str] = Counter()
    for mutant in mutants:
        known = session.get(mutant.key)
        verdict = "not tried" if known is None else known.verdict
        reason = explained.get(
            (str(mutant.path), mutant.scope, mutant.original, mutant.replacement)
        )
        if verdict in (SURVIVED, NO_TEST) and reason is not None:
            verdict = "survived, explained"
        counts[verdict] += 1
        if verdict in (SURVIVED, NO_TEST):
            place = f"{mutant.path}:{mutant.first_line} {mutant.scope}"
            print(f"\n{verdict}: {place} ({mutant.operator}, {mutant.key})")
            print(mutant.diff((ROOT / mutant.path).read_text()))
    killed = counts[KILLED] + counts[TIMEOUT]
    percent = 100.0 * killed / max(len(mutants), 1)
    print(
        f"\n{len(mutants)} mutants: "
        + ", ".join(f"{number} {name}" for name, number in counts.most_common())
    )
    print(f"{percent:.1f} % killed")
    return 0 if percent >= at_least else 1


if __name__ == "__main__":
    sys.exit(main())
