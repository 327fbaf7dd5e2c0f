"""Plays many conversations against two servers, and collects the differences.

Many are played at the same time. One in which the answers differ is only suspected: it is judged
after its batch, when nothing else is played, so that a race that a busy machine turned around is
not taken for a difference.
"""

from __future__ import annotations

import asyncio
import difflib
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from phoenix_compat.conformance.fuzz.generate import Kind, random_script
from phoenix_compat.conformance.fuzz.normalize import Answers, agree
from phoenix_compat.conformance.fuzz.play import Player
from phoenix_compat.conformance.fuzz.script import Script
from phoenix_compat.conformance.fuzz.shrink import shrink

_BATCH: Final = 2_000
"""How many conversations are played before the suspected ones among them are judged."""

_PLAYS: Final = 4
"""How often a suspected conversation is played: each server may answer in several ways where the
order is not defined, and they differ only if they have no way in common."""

_MOST_PATIENCE: Final = 7.0
"""The factor by which the waits of the last of these plays are longer."""

_UNFINISHED: Final = (OSError, EOFError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Difference:
    """A conversation in which the servers differ.

    Attributes:
        number: the conversation's number; -1 for one that was given.
        script: the smallest form of it.
        answers: those of the first and of the second server.
    """

    number: int
    script: Script
    answers: tuple[Answers, Answers]

    def explain(self) -> str:
        """What was sent and where the answers differ, as text."""
        lines = [
            *(f"  {client.name} = {client.target}" for client in self.script.clients),
            *(f"  {step}" for step in self.script.steps),
        ]
        first, second = (
            json.dumps(answers, indent=1, ensure_ascii=False).splitlines()
            for answers in self.answers
        )
        shown = difflib.unified_diff(first, second, "the first", "the second", lineterm="", n=2)
        return "\n".join(
            [
                f"conversation {self.number} differs:",
                *lines,
                *(f"    {line}" for line in shown),
                f"  again: --replay '{self.script.to_json()}'",
            ]
        )


@dataclass(slots=True)
class Outcome:
    """The result of many conversations.

    Attributes:
        played: how many conversations.
        unconfirmed: conversations that differed once, and not when they were played alone.
        unfinished: conversations that could not be played to their end, by error.
        differences: those that did show again.
    """

    played: int = 0
    unconfirmed: int = 0
    unfinished: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def count_unfinished(self, error: Exception) -> None:
        """Count a conversation that could not be played to its end."""
        name = type(error).__name__
        self.unfinished[name] = self.unfinished.get(name, 0) + 1


class Fuzzer:
    """Compares two servers.

    Args:
        speed: the factor by which waits are shortened, for quick servers.
        kind: which conversations; None for all.
    """

    def __init__(
        self, first_url: str, second_url: str, *, speed: float = 1.0, kind: Kind | None = None
    ) -> None:
        self._urls = (first_url, second_url)
        self._speed = speed
        self._kind = kind

    async def answers(self, script: Script, patience: float = 1.0) -> tuple[Answers, Answers]:
        """Play a script against both.

        Args:
            patience: the factor by which waits are longer.
        """
        speed = self._speed / patience
        first, second = await asyncio.gather(
            *(Player(url, script, speed).play() for url in self._urls)
        )
        return first, second

    async def differs(self, script: Script) -> bool:
        """Whether the servers never give the same answers to it."""
        seen: tuple[list[Answers], list[Answers]] = ([], [])
        for play in range(_PLAYS):
            # A message that arrives while a server closes costs its close frame: 1006.
            patience = 1.0 + (_MOST_PATIENCE - 1.0) * play / (_PLAYS - 1)
            for ways, answers in zip(seen, await self.answers(script, patience), strict=True):
                ways.append(answers)
            if any(agree(one, other) for one in seen[0] for other in seen[1]):
                return False
        return True

    async def is_suspected(self, script: Script, outcome: Outcome) -> bool:
        """Whether the answers to one play differ; counts the play."""
        outcome.played += 1
        try:
            first, second = await self.answers(script)
        except _UNFINISHED as error:
            outcome.count_unfinished(error)
            return False
        return not agree(first, second)

    async def _play_batch(
        self, batch: list[int], seed: int, concurrency: int, outcome: Outcome
    ) -> list[tuple[int, Script]]:
        """Play a batch; the suspected ones in order of their numbers."""
        suspected: dict[int, Script] = {}
        waiting = iter(batch)

        async def work() -> None:
            for number in waiting:
                script = random_script(seed, number, self._kind)
                if await self.is_suspected(script, outcome):
                    suspected[number] = script

        await asyncio.gather(*(work() for _worker in range(concurrency)))
        return sorted(suspected.items())

    async def judge(self, number: int, script: Script, outcome: Outcome) -> Difference | None:
        """Shrink a suspected conversation and add it to the outcome, if the servers do differ."""
        try:
            if await self.differs(script):
                smallest = await shrink(script, self.differs)
                answers = await self.answers(smallest, _MOST_PATIENCE)
                if not agree(*answers):
                    difference = Difference(number, smallest, answers)
                    outcome.differences.append(difference)
                    return difference
        except _UNFINISHED as error:
            outcome.count_unfinished(error)
            return None
        outcome.unconfirmed += 1
        return None

    async def run(
        self,
        numbers: Iterable[int],
        seed: int,
        *,
        concurrency: int = 8,
        max_differences: int = 20,
        on_difference: Callable[[Difference], None] = lambda _difference: None,
    ) -> Outcome:
        """Play the conversations with these numbers.

        Args:
            concurrency: how many are played at the same time.
            max_differences: stop after so many.
            on_difference: called with each difference, as soon as it is found.
        """
        outcome = Outcome()
        waiting = iter(numbers)
        while batch := list(itertools.islice(waiting, _BATCH)):
            suspected = await self._play_batch(batch, seed, concurrency, outcome)
            for number, script in suspected:
                difference = await self.judge(number, script, outcome)
                if difference is not None:
                    on_difference(difference)
                if len(outcome.differences) >= max_differences:
                    return outcome
        return outcome
