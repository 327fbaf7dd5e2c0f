"""What a scenario is: one test of a client."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from phoenix_compat.conformance.faults.record_view import Rule


class Level(StrEnum):
    """The level of a scenario, in the words of RFC 2119."""

    MUST = "MUST"
    SHOULD = "SHOULD"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One test of a client.

    Attributes:
        id: `client/…`; the rest names its session, with `-` in place of `/`.
        why: what goes wrong in practice if the client does not do it.
        phoenix_js: what phoenix.js 1.8 does.
        timeout_s: how long the rule waits, unless the report is final.
    """

    id: str
    level: Level
    topic: str
    rule: Rule
    why: str
    phoenix_js: str
    timeout_s: float = 15.0

    @property
    def session(self) -> str:
        """The name of its session, when each scenario has its own."""
        return self.id.removeprefix("client/").replace("/", "-")

    @property
    def wants(self) -> str:
        """What the rule requires, in one sentence."""
        return (self.rule.__doc__ or "").strip()
