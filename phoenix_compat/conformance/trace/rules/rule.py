"""Defines what a rule is. `rulebook` lists all rules.

MUST: Phoenix 1.8.12, or a client that follows the protocol, cannot send it. SHOULD: it can happen,
but applications break that way. There are no false positives: if a race between two correct sides
can look the same, the rule is a SHOULD or waits for proof.

The source of a rule is a file of phoenix 1.8.12 under `lib/phoenix/`, unless it names another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from phoenix_compat.conformance.trace.recording.frames import Side


class Level(Enum):
    """The level of a rule."""

    MUST = "MUST"
    SHOULD = "SHOULD"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must not happen.

    Attributes:
        id: `area/what`; it does not change.
        who: the side that breaks it.
        source: the place in Phoenix, or in a client, that it comes from.
        why: what was wrong and what it causes; a phrase without a full stop.
    """

    id: str
    level: Level
    who: Side
    source: str
    why: str
