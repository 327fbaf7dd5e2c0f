"""`python -m phoenix_compat.conformance.fuzz FIRST SECOND`: compare two servers."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from phoenix_compat.conformance.fuzz.generate import KINDS
from phoenix_compat.conformance.fuzz.run import Difference, Fuzzer, Outcome
from phoenix_compat.conformance.fuzz.script import Script


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 if the servers differ."""
    parser = argparse.ArgumentParser(
        prog="python -m phoenix_compat.conformance.fuzz",
        description="Play random conversations against two servers that host the reference "
        "channel set, and show the smallest ones in which they differ.",
    )
    parser.add_argument("first", help="for example http://127.0.0.1:4000")
    parser.add_argument("second")
    parser.add_argument("--conversations", type=int, default=1000, help="how many  [1000]")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="begin none after so long  [no limit]"
    )
    parser.add_argument("--start", type=int, default=0, help="number of the first one  [0]")
    parser.add_argument("--seed", type=int, default=1, help="  [1]")
    parser.add_argument("--concurrency", type=int, default=24, help="how many at a time  [24]")
    parser.add_argument("--max-differences", type=int, default=20, help="stop after so many  [20]")
    parser.add_argument("--kind", choices=KINDS, help="only such conversations  [all kinds]")
    parser.add_argument("--replay", metavar="JSON", help="play only this conversation")
    chosen = parser.parse_args(arguments)
    fuzzer = Fuzzer(chosen.first, chosen.second, kind=chosen.kind)
    if chosen.replay is not None:
        try:
            script = Script.from_json(chosen.replay)
        except ValueError as error:
            parser.error(f"--replay: {error}")
        outcome = asyncio.run(_replay(fuzzer, script))
    else:
        began_at_s = time.monotonic()
        last = chosen.start + chosen.conversations
        numbers = _numbers(range(chosen.start, last), began_at_s + chosen.seconds)
        outcome = asyncio.run(
            fuzzer.run(
                numbers,
                chosen.seed,
                concurrency=chosen.concurrency,
                max_differences=chosen.max_differences,
                on_difference=_show,
            )
        )
        took_s = time.monotonic() - began_at_s
        _say(
            f"{outcome.played} conversations in {took_s:.0f} s: {len(outcome.differences)} differ, "
            f"{outcome.unconfirmed} were suspected and do not, {sum(outcome.unfinished.values())} "
            f"could not be played {outcome.unfinished or ''}"
        )
    return 1 if outcome.differences else 0


def _numbers(numbers: Iterable[int], until_s: float) -> Iterator[int]:
    """The numbers, until that time."""
    return itertools.takewhile(lambda _number: time.monotonic() < until_s, numbers)


async def _replay(fuzzer: Fuzzer, script: Script) -> Outcome:
    outcome = Outcome(played=1)
    if await fuzzer.differs(script):
        answers = await fuzzer.answers(script)
        outcome.differences.append(Difference(-1, script, answers))
        _show(outcome.differences[0])
    else:
        _say("no difference")
    return outcome


def _show(difference: Difference) -> None:
    _say(difference.explain())


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    sys.exit(main())
