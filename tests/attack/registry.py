"""What an attack is, and the list of all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.attack.target import Target


@dataclass(frozen=True)
class Finding:
    """What an attack saw.

    Attributes:
        holds: whether the bound held.
        seen: what was seen, in one line.
    """

    holds: bool
    seen: str


Run: TypeAlias = Callable[[Target], Awaitable[Finding]]


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: what it does, in a few words; `--only` selects by it.
        rows: what it covers of the list of faults that were found ("S8"), or the bound.
        bound: what must hold.
        limit_s: how long it may take.
        is_quick: whether it ends in seconds, and so is one of the suite's tests.
        needs_own_server: whether it starts a server, or reads the log of one; it is left out when a
            server elsewhere is attacked.
    """

    name: str
    rows: str
    bound: str
    limit_s: float
    is_quick: bool
    needs_own_server: bool
    run: Run


ATTACKS: list[Attack] = []
"""All attacks, in the order in which they were defined."""


def attack(
    name: str,
    *,
    rows: str,
    bound: str,
    limit_s: float = 20.0,
    is_quick: bool = True,
    needs_own_server: bool = False,
) -> Callable[[Run], Run]:
    """Add a function to the list; see `Attack`."""

    def add(run: Run) -> Run:
        ATTACKS.append(Attack(name, rows, bound, limit_s, is_quick, needs_own_server, run))
        return run

    return add
