"""Plays many conversations against two servers, and collects the differences."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from phoenix_compat.conformance.fuzz.generate import random_script
from phoenix_compat.conformance.fuzz.play import Answers, Player
from phoenix_compat.conformance.fuzz.script import Script
from phoenix_compat.conformance.fuzz.shrink import shrink

_CONFIRMATIONS: Final = 2
"""How often a difference must show again before it counts: a late answer is no difference."""


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
        unconfirmed: differences that did not show again.
        unfinished: conversations that could not be played to their end, by error.
        differences: those that did show again.
    """

    played: int = 0
    unconfirmed: int = 0
    unfinished: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


class Fuzzer:
    """Compares two servers.

    Args:
        speed: the factor by which waits are shortened, for quick servers.
    """

    def __init__(self, first_url: str, second_url: str, *, speed: float = 1.0) -> None:
        self._urls = (first_url, second_url)
        self._speed = speed

    async def answers(self, script: Script) -> tuple[Answers, Answers]:
        """Play a script against both."""
        first, second = await asyncio.gather(
            *(Player(url, script, self._speed).play() for url in self._urls)
        )
        return first, second

    async def differs(self, script: Script) -> bool:
        """Whether they differ, each time."""
        for _time in range(1 + _CONFIRMATIONS):
            first, second = await self.answers(script)
            if first == second:
                return False
        return True

    async def compare(self, number: int, script: Script, outcome: Outcome) -> None:
        """Play a script, and add what was found to the outcome."""
        try:
            first, second = await self.answers(script)
            if first != second:
                smallest = script
                is_confirmed = await self.differs(script)
                if is_confirmed:
                    smallest = await shrink(script, self.differs)
                    is_confirmed = await self.differs(smallest)
                answers = await self.answers(smallest)
                if is_confirmed and answers[0] != answers[1]:
                    outcome.differences.append(Difference(number, smallest, answers))
                else:
                    outcome.unconfirmed += 1
        except (OSError, EOFError, TimeoutError) as error:
            name = type(error).__name__
            outcome.unfinished[name] = outcome.unfinished.get(name, 0) + 1
        outcome.played += 1

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

        async def work() -> None:
            for number in waiting:
                if len(outcome.differences) >= max_differences:
                    return
                known = len(outcome.differences)
                await self.compare(number, random_script(seed, number), outcome)
                for difference in outcome.differences[known:]:
                    if difference.number == number:
                        on_difference(difference)

        await asyncio.gather(*(work() for _worker in range(concurrency)))
        return outcome
