"""Mutants: versions of this server that each make one typical mistake.

A mutant is a function that patches our server. It declares which cases test for its mistake;
exactly these must fail. A variant is as right as the server, because Phoenix leaves open what it
does otherwise: no case may fail. Numbers refer to docs/protocol.md, §10: likely mistakes. Start
with `play`.
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
    """A server with one mistake.

    Attributes:
        name: what it does wrong.
        numbers: the mistakes in docs/protocol.md, §10; empty if it is not listed there.
        fails: the cases that must fail: patterns as for `--only`, optionally followed by a
            transport, or a function that selects the cases.
        apply: patches the server.
        waits: whether to play the cases that wait for the idle timeout; otherwise they are left
            out, because they take as long as all others together.
    """

    name: str
    numbers: tuple[int, ...]
    fails: Sequence[str] | Callable[[Case], bool]
    apply: Apply
    waits: bool

    def must_fail(self, case: Case) -> bool:
        """Whether the case tests for the mistake."""
        if callable(self.fails):
            return self.fails(case)
        return any(_names(entry, case) for entry in self.fails)


def _names(entry: str, case: Case) -> bool:
    pattern, _, transport = entry.partition(" ")
    return is_named(case, pattern) and transport in {"", case.transport}


MUTANTS: list[Mutant] = []
VARIANTS: list[Mutant] = []


def mutant(
    *numbers: int, fails: Sequence[str] | Callable[[Case], bool], waits: bool = False
) -> Callable[[Apply], Apply]:
    """Add a mutant; it has the name of the function."""

    def add(apply: Apply) -> Apply:
        MUTANTS.append(Mutant(apply.__name__, numbers, fails, apply, waits))
        return apply

    return add


def variant(apply: Apply) -> Apply:
    """Add a variant; it has the name of the function."""
    VARIANTS.append(Mutant(apply.__name__, (), (), apply, waits=False))
    return apply
