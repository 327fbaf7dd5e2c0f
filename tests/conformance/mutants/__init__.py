"""Servers that are wrong on purpose: each makes one mistake that re-implementations make.

A mutant is a function that patches our server. It declares which cases name its mistake; the suite
must fail in exactly these. Numbers are those of docs/protocol.md, §10: likely mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from phoenix_compat.conformance.suite.cases import Case
from phoenix_compat.conformance.suite.catalog import is_named

Apply = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    """A mistake.

    Attributes:
        name: what it does wrong.
        numbers: of the mistake in docs/protocol.md, §10; none for one that is not listed there.
        fails: names of the cases that must fail, as `--only` takes them, with the transport behind
            where it matters; or what tells these cases.
        apply: makes the server wrong.
        waits: whether the cases that wait for the idle timeout are concerned; else they are left
            out, because they take as long as all others together.
    """

    name: str
    numbers: tuple[int, ...]
    fails: Sequence[str] | Callable[[Case], bool]
    apply: Apply
    waits: bool

    def must_fail(self, case: Case) -> bool:
        """Whether the case names the mistake."""
        if callable(self.fails):
            return self.fails(case)
        return any(_names(entry, case) for entry in self.fails)


def _names(entry: str, case: Case) -> bool:
    pattern, _, transport = entry.partition(" ")
    return is_named(case, pattern) and transport in {"", case.transport}


MUTANTS: list[Mutant] = []


def mutant(
    *numbers: int, fails: Sequence[str] | Callable[[Case], bool], waits: bool = False
) -> Callable[[Apply], Apply]:
    """Add a mutant to the list; the function's name is its name."""

    def add(apply: Apply) -> Apply:
        MUTANTS.append(Mutant(apply.__name__, numbers, fails, apply, waits))
        return apply

    return add
