"""The record of one lane as rules ask it, and what a rule answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, Final

from phoenix_compat.conformance.faults.record import Entry, Kind
from phoenix_compat.protocol.message import HEARTBEAT, PHX_JOIN

_MAX_EVIDENCE: Final = 12
_SETTLED_S: Final = 0.3

HAMMERING_GAP_S: Final = 0.09
"""Attempts that follow each other faster than this, after some failures, hammer the server.

phoenix.js waits 10, 50, 100, 150, 200, 250, 500, 1000, 2000, then 5000 ms.
"""


class Outcome(StrEnum):
    """What a rule found."""

    PASSED = "passed"
    FAILED = "failed"
    WAITING = "waiting"
    """It is too early to tell."""
    NOT_SEEN = "not seen"
    """The client did not do what the scenario asks for, so there is nothing to judge."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found in a record.

    Attributes:
        reason: a sentence with the figures.
        evidence: the entries that show it.
    """

    outcome: Outcome
    reason: str
    evidence: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordView:
    """One lane's record, looked at for the sake of one topic.

    Attributes:
        now_s: how old the record is.
        is_final: nothing more is to come: what is still awaited has failed.
        patience_s: how long to wait for something before its absence counts.
    """

    topic: str
    entries: Sequence[Entry]
    now_s: float
    is_final: bool = False
    patience_s: float = 15.0

    def of(self, *kinds: Kind, after: Entry | None = None) -> list[Entry]:
        """The entries of these kinds, those after another entry where one is given."""
        number = after.number if after is not None else 0
        return [entry for entry in self.entries if entry.kind in kinds and entry.number > number]

    def first(
        self, kind: Kind, after: Entry | None = None, where: Callable[[Entry], bool] | None = None
    ) -> Entry | None:
        """The first entry of a kind that fulfils a condition."""
        found = self.of(kind, after=after)
        return next((entry for entry in found if where is None or where(entry)), None)

    @property
    def strikes(self) -> list[Entry]:
        """When the fault of the topic struck."""
        return [entry for entry in self.of(Kind.STRUCK) if entry.topic == self.topic]

    def joins(self, after: Entry | None = None) -> list[Entry]:
        """The client's joins of the topic."""
        return self.received(PHX_JOIN, after)

    def received(self, event: str, after: Entry | None = None) -> list[Entry]:
        """The client's messages of this event on the topic."""
        found = self.of(Kind.RECEIVED, after=after)
        return [entry for entry in found if (entry.topic, entry.event) == (self.topic, event)]

    def heartbeats(self, after: Entry | None = None) -> list[Entry]:
        """The client's heartbeats, on any connection."""
        return [entry for entry in self.of(Kind.RECEIVED, after=after) if entry.event == HEARTBEAT]

    def heard(self, key: str, after: Entry | None = None) -> list[Entry]:
        """Where the app says that it heard something with this key, by a push or over HTTP."""
        said = [*self.received("heard", after), *self.of(Kind.HEARD, after=after)]
        found = [e for e in said if isinstance(e.payload, dict) and key in e.payload]
        return sorted(found, key=lambda entry: entry.number)

    def has_waited(self, since: Entry) -> bool:
        """Whether what should follow an entry is overdue."""
        return self.is_final or self.now_s - since.at_s > self.patience_s


def passed(reason: str, *evidence: Entry) -> Finding:
    """The client did right."""
    return Finding(Outcome.PASSED, reason, evidence[:_MAX_EVIDENCE])


def failed(reason: str, *evidence: Entry) -> Finding:
    """The client did wrong."""
    return Finding(Outcome.FAILED, reason, evidence[:_MAX_EVIDENCE])


def too_early(reason: str, *evidence: Entry) -> Finding:
    """It is too early to tell."""
    return Finding(Outcome.WAITING, reason, evidence[:_MAX_EVIDENCE])


def not_seen(reason: str) -> Finding:
    """The client did not play the scenario."""
    return Finding(Outcome.NOT_SEEN, reason)


Rule = Callable[[RecordView], Finding]


def once_struck(rule: Callable[[RecordView, Sequence[Entry]], Finding]) -> Rule:
    """The rule for a fault that strikes: it gets the strikes, and is not asked before the first."""

    @wraps(rule)
    def judge(view: RecordView) -> Finding:
        strikes = view.strikes
        return rule(view, strikes) if strikes else _not_struck(view)

    return judge


def _not_struck(view: RecordView) -> Finding:
    """The fault had no occasion to strike."""
    if not view.joins():
        return not_seen("the topic was not joined")
    refused = view.first(Kind.SENT, where=lambda entry: _is_refusal(entry, view.topic))
    if refused is not None:
        return not_seen(f"the join was refused: {refused.payload['response'].get('reason')}")
    return not_seen("the fault did not strike: the app pushed nothing")


def _is_refusal(entry: Entry, topic: str) -> bool:
    said = entry.payload if isinstance(entry.payload, dict) else {}
    return entry.topic == topic and said.get("status") == "error"


def missing(view: RecordView, since: Entry, what: str) -> Finding:
    """Something that should have followed is not there: a failure once it is overdue."""
    if view.has_waited(since):
        waited_s = view.now_s - since.at_s
        return failed(f"no {what} within {waited_s:.1f} s", since)
    return too_early(f"waiting for {what}", since)


def value_of(entry: Entry, key: str) -> Any:
    """What the app said under this key."""
    return entry.payload.get(key) if isinstance(entry.payload, dict) else None


def settling(view: RecordView, since: Entry) -> Finding | None:
    """It is too early to say that nothing more comes."""
    if view.is_final or view.now_s - since.at_s > _SETTLED_S:
        return None
    return too_early("waiting to see whether more comes", since)


def seconds(values: Sequence[float]) -> str:
    """The values as people read them: `0.01, 0.05 s`."""
    return ", ".join(f"{value:.2f}" for value in values) + (" s" if values else "")
