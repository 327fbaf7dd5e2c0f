"""Plays many conversations against two servers, and collects the differences.

Many are played at the same time. One in which the answers differ, or that could not be played, is
only suspected: it is judged after its batch, when nothing else is played, so that a race that a
busy machine turned around is not taken for a difference.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeAlias

from phoenix_compat.conformance.fuzz.generate import Kind, random_script
from phoenix_compat.conformance.fuzz.normalize import Answers, agree, first_difference
from phoenix_compat.conformance.fuzz.play import ChannelFences, Player
from phoenix_compat.conformance.fuzz.script import Script
from phoenix_compat.conformance.fuzz.shrink import shrink

_FIRST_BATCH: Final = 60
_MAX_BATCH: Final = 480
"""How many conversations are played before the suspected ones among them are judged: few at first,
so that servers which differ much are told apart at once."""

_PLAYS: Final = 4
"""How often a suspected conversation is played: each server may answer in several ways where the
order is not defined, and they differ only if they have no way in common."""

_SHRINK_PLAYS: Final = 2
"""How often a smaller conversation is played; the smallest is judged as a suspected one."""

_MAX_PATIENCE: Final = 7.0
"""The factor by which the waits of the last of these plays are longer."""

_SHRINK_S: Final = 60.0
"""The time after which the smallest conversation so far is taken."""

_LAST_JUDGING_S: Final = 60.0
"""How long after the end of its time a run still looks for its first difference."""

_MAX_UNFINISHED: Final = 20
"""A run ends after so many conversations that could not be played, even alone."""

_UNFINISHED: Final = (OSError, EOFError, TimeoutError)


class Result(StrEnum):
    """What a run has found."""

    NO_DIFFERENCE = "no difference"
    DIFFERENT = "different"
    NOT_JUDGED = "not judged"


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


@dataclass(slots=True)
class Outcome:
    """The result of many conversations.

    Attributes:
        played: how many conversations.
        unconfirmed: conversations that differed once, and not when they were played alone.
        repeated: conversations that became, by shrinking, one of those in `differences`.
        unfinished: conversations that could not be played to their end, by error.
        unjudged: conversations that differed once, and were not played again for want of time.
        differences: those that did show again.
    """

    played: int = 0
    unconfirmed: int = 0
    repeated: int = 0
    unfinished: dict[str, int] = field(default_factory=dict)
    unjudged: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def unfinished_count(self) -> int:
        """How many conversations could not be played to their end."""
        return sum(self.unfinished.values())

    @property
    def result(self) -> Result:
        """What this says about the servers.

        Without a difference it says nothing if more than one conversation in twenty could not be
        played, or if one is not judged.
        """
        if self.differences:
            return Result.DIFFERENT
        is_judged = self.played > 0 and self.unfinished_count * 20 <= self.played
        is_judged = is_judged and not self.unjudged
        return Result.NO_DIFFERENCE if is_judged else Result.NOT_JUDGED

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
        self._servers = ((first_url, ChannelFences()), (second_url, ChannelFences()))
        self._speed = speed
        self._kind = kind

    async def answers(self, script: Script, patience: float = 1.0) -> tuple[Answers, Answers]:
        """Play a script against both.

        Args:
            patience: the factor by which waits are longer.
        """
        speed = self._speed / patience
        first, second = await asyncio.gather(
            *(Player(url, script, speed, fences).play() for url, fences in self._servers)
        )
        return first, second

    async def differs(self, script: Script, plays: int = _PLAYS) -> bool:
        """Whether the servers never give the same answers to it.

        Args:
            plays: how often it is played, at least twice, each time with more patience.
        """
        seen: tuple[list[Answers], list[Answers]] = ([], [])
        for play in range(plays):
            # A message that arrives while a server closes costs its close frame: 1006.
            patience = 1.0 + (_MAX_PATIENCE - 1.0) * play / (_PLAYS - 1)
            for ways, answers in zip(seen, await self.answers(script, patience), strict=True):
                ways.append(answers)
            if any(agree(one, other) for one in seen[0] for other in seen[1]):
                return False
        return True

    async def is_suspected(self, script: Script, outcome: Outcome) -> bool:
        """Whether the answers to one play differ, or there are none; counts the play."""
        outcome.played += 1
        try:
            return not agree(*await self.answers(script))
        except _UNFINISHED:
            return True

    async def judge(self, number: int, script: Script, outcome: Outcome) -> Difference | None:
        """Shrink a suspected conversation and add it to the outcome, if the servers do differ."""
        try:
            difference = await self._judged(number, script)
        except _UNFINISHED as error:
            outcome.count_unfinished(error)
            return None
        if difference is None:
            outcome.unconfirmed += 1
        elif any(other.script == difference.script for other in outcome.differences):
            outcome.repeated += 1
            return None
        else:
            outcome.differences.append(difference)
        return difference

    async def replay(self, script: Script, outcome: Outcome) -> Difference | None:
        """Judge a conversation as it is."""
        outcome.played += 1
        try:
            difference = await self._confirmed(-1, script)
        except _UNFINISHED as error:
            outcome.count_unfinished(error)
            return None
        if difference is not None:
            outcome.differences.append(difference)
        return difference

    async def _judged(self, number: int, script: Script) -> Difference | None:
        found = await self._confirmed(number, script)
        if found is None:
            return None
        until_s = time.monotonic() + _SHRINK_S

        async def still_differs(smaller: Script) -> bool:
            return time.monotonic() < until_s and await self.differs(smaller, _SHRINK_PLAYS)

        shorter = _until_difference(found)
        if shorter == script or not await still_differs(shorter):
            shorter = script
        smallest = await shrink(shorter, still_differs)
        return await self._confirmed(number, smallest) or found

    async def _confirmed(self, number: int, script: Script) -> Difference | None:
        """The difference that the conversation shows whenever it is played; None without one."""
        if not await self.differs(script):
            return None
        answers = await self.answers(script, _MAX_PATIENCE)
        return None if agree(*answers) else Difference(number, script, answers)

    async def run(  # noqa: PLR0913 - the options of a run
        self,
        numbers: Iterable[int],
        seed: int,
        *,
        concurrency: int = 8,
        max_differences: int = 20,
        until_s: float = math.inf,
        on_difference: Callable[[Difference], None] = lambda _difference: None,
        on_play: OnPlay = lambda _outcome: None,
    ) -> Outcome:
        """Play the conversations with these numbers.

        Args:
            concurrency: how many are played at the same time.
            max_differences: stop after so many.
            until_s: begin no conversation after this time of `time.monotonic`, and judge only
                until there is a difference.
            on_difference: called with each difference, as soon as it is found.
            on_play: called with the outcome so far after each conversation.
        """
        outcome = Outcome()
        for batch in _batches(iter(numbers)):
            scripts = {number: random_script(seed, number, self._kind) for number in batch}
            suspected = await self._play_batch(scripts, concurrency, until_s, outcome, on_play)
            while suspected and not _is_over(outcome, max_differences, until_s):
                difference = await self.judge(*suspected.pop(0), outcome)
                if difference is not None:
                    on_difference(difference)
            outcome.unjudged += len(suspected)
            if time.monotonic() >= until_s or _is_over(outcome, max_differences, until_s):
                break
        return outcome

    async def _play_batch(
        self,
        scripts: dict[int, Script],
        concurrency: int,
        until_s: float,
        outcome: Outcome,
        on_play: OnPlay,
    ) -> list[tuple[int, Script]]:
        """Play a batch; returns the suspected ones, the shortest first: they shrink sooner."""
        suspected: list[tuple[int, Script]] = []
        waiting = iter(scripts.items())

        async def work() -> None:
            for number, script in waiting:
                if time.monotonic() >= until_s:
                    return
                if await self.is_suspected(script, outcome):
                    suspected.append((number, script))
                on_play(outcome)

        await asyncio.gather(*(work() for _worker in range(concurrency)))
        return sorted(suspected, key=lambda one: (one[1].frames, one[0]))


OnPlay: TypeAlias = Callable[[Outcome], None]


def _is_over(outcome: Outcome, max_differences: int, until_s: float) -> bool:
    """Whether nothing more is judged."""
    if len(outcome.differences) >= max_differences or outcome.unfinished_count >= _MAX_UNFINISHED:
        return True
    late_s = time.monotonic() - until_s
    return late_s >= (0.0 if outcome.differences else _LAST_JUDGING_S)


def _batches(numbers: Iterator[int]) -> Iterator[list[int]]:
    size = _FIRST_BATCH
    while batch := list(itertools.islice(numbers, size)):
        yield batch
        size = min(2 * size, _MAX_BATCH)


def _until_difference(difference: Difference) -> Script:
    """The conversation without what was sent after the first answer that differs."""
    script = difference.script
    index = first_difference(*difference.answers) or 0  # clients come before steps
    return replace(script, steps=script.steps[: max(index + 1 - len(script.clients), 0)])
