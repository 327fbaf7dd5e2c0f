"""What a rule is. `wire_rules`, `server_rules` and `client_rules` have them, `rulebook` lists them.

MUST: Phoenix 1.8.12 cannot have sent it, or a client that follows the protocol cannot. SHOULD: it
can happen, and it is how applications break. The rules are sure of what they say: where a race of
two honest sides looks the same, the rule is a SHOULD, or waits for what proves it.

A rule's source is a file of phoenix 1.8.12 under `lib/phoenix/`, unless it names another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from phoenix_compat.conformance.trace.recording.frames import Side


class Level(Enum):
    """How bad it is."""

    MUST = "MUST"
    SHOULD = "SHOULD"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must not happen.

    Attributes:
        id: `area/what`, stable.
        who: the side that errs.
        source: where Phoenix, or a client, says so.
        why: what was done and is wrong, and what comes of it; no sentence, and no full stop.
    """

    id: str
    level: Level
    who: Side
    source: str
    why: str
