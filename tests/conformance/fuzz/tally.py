"""`python -m tests.conformance.fuzz.tally`: which mutants the fuzzer tells from this server.

For each mutant it prints the seconds until the first difference was found and shrunk, and the
frames of the conversation. Its exit code is 1 if one of those it can reach was not found in time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from phoenix_compat.conformance.fuzz.run import Difference, Fuzzer
from phoenix_compat.conformance.reference import build_reference_app
from tests.conformance.mutants import MUTANTS
from tests.conformance.mutants.serve import mutant_server
from tests.serving import serving

LIMIT_S = 60.0
MAX_FRAMES = 6
CONCURRENCY = 24

OUT_OF_REACH = {
    "batches_have_no_limit": "it takes more than 100 messages in one request",
    "json_has_spaces_and_escapes": "the spelling of JSON is not compared",
    "sent_frames_count_as_activity": "no conversation waits for the idle timeout",
    "the_limit_counts_the_replaced_channel": "it takes 100 joins",
}
"""Mutants that random conversations cannot show, with the reason."""


@dataclass(frozen=True)
class Found:
    """What the fuzzer found of a mutant.

    Attributes:
        took_s: until the smallest conversation was known; the whole run if there was none.
        difference: None if there was none.
    """

    name: str
    took_s: float
    played: int
    difference: Difference | None

    @property
    def is_good(self) -> bool:
        """Whether it was found in time, with a short conversation."""
        return (
            self.difference is not None
            and self.took_s <= LIMIT_S
            and self.difference.script.frames <= MAX_FRAMES
        )

    def __str__(self) -> str:
        frames = "not found"
        if self.difference is not None:
            frames = f"{self.difference.script.frames} frames"
        return f"{self.name:<58} {self.took_s:5.1f} s {self.played:6} played  {frames}"


async def find(name: str, *, seed: int = 1, speed: float = 1.0) -> Found:
    """Compare a mutant with this server until they differ, for at most `LIMIT_S`."""
    async with serving(build_reference_app()) as url, mutant_server(name) as mutant_url:
        began_at_s = time.monotonic()
        outcome = await Fuzzer(url, mutant_url, speed=speed).run(
            range(1_000_000),
            seed,
            concurrency=CONCURRENCY,
            max_differences=1,
            until_s=began_at_s + LIMIT_S,
        )
        took_s = time.monotonic() - began_at_s
    difference = next(iter(outcome.differences), None)
    return Found(name, took_s, outcome.played, difference)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.fuzz.tally")
    parser.add_argument("names", nargs="*", help="mutants  [all within reach]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="print the conversations")
    chosen = parser.parse_args(arguments)
    names = chosen.names or [mutant.name for mutant in MUTANTS if mutant.name not in OUT_OF_REACH]
    missed = 0
    for name in names:
        found = asyncio.run(find(name, seed=chosen.seed))
        missed += not found.is_good
        sys.stdout.write(f"{'   ' if found.is_good else '!! '}{found}\n")
        if chosen.show and found.difference is not None:
            sys.stdout.write(f"      {found.difference.script.to_json()}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(names) - missed} of {len(names)} told apart, seed {chosen.seed}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    import logging

    logging.disable()
    sys.exit(main())
