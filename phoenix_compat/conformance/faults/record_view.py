"""Queries on the record of one session, and the findings that rules return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import wraps
from typing import Any, Final

from phoenix_compat.conformance.faults.record import Entry, EntryKind
from phoenix_compat.protocol.message import HEARTBEAT, PHX_JOIN

_MAX_EVIDENCE: Final = 12
_SETTLED_S: Final = 0.3

HAMMERING_GAP_S: Final = 0.09
"""After some failures, attempts that are closer together than this count as hammering the server.

phoenix.js waits 10, 50, 100, 150, 200, 250, 500, 1000, 2000, then 5000 ms.
"""


class Outcome(StrEnum):
    """The outcome of a rule."""

    PASSED = "passed"
    FAILED = "failed"
    WAITING = "waiting"
    """It is too early to tell."""
    NOT_SEEN = "not seen"
    """The client did not do its part of the scenario, so there is nothing to judge."""


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
    """The record of one session, with queries about one topic.

    Attributes:
        now_s: the age of the record in seconds.
        is_final: whether the client is done, so that whatever is still missing has failed.
        timeout_s: how long to wait for something before its absence is a failure.
    """

    topic: str
    entries: Sequence[Entry]
    now_s: float
    is_final: bool = False
    timeout_s: float = 15.0

    def of(self, *kinds: EntryKind, after: Entry | None = None) -> list[Entry]:
        """The entries of these kinds, or only those after the entry `after`."""
        number = after.number if after is not None else 0
        return [entry for entry in self.entries if entry.kind in kinds and entry.number > number]

    def first(
        self,
        kind: EntryKind,
        after: Entry | None = None,
        where: Callable[[Entry], bool] | None = None,
    ) -> Entry | None:
        """The first entry of a kind for which `where` holds, or None."""
        found = self.of(kind, after=after)
        return next((entry for entry in found if where is None or where(entry)), None)

    def on(self, topic: str) -> RecordView:
        """The same record, with queries about another topic."""
        return replace(self, topic=topic)

    @property
    def strikes(self) -> list[Entry]:
        """The entries at which the topic's fault struck."""
        return [entry for entry in self.of(EntryKind.STRUCK) if entry.topic == self.topic]

    def joins(self, after: Entry | None = None) -> list[Entry]:
        """The client's joins of the topic."""
        return self.received(PHX_JOIN, after)

    def received(self, event: str, after: Entry | None = None) -> list[Entry]:
        """The client's messages of this event on the topic."""
        found = self.of(EntryKind.RECEIVED, after=after)
        return [entry for entry in found if (entry.topic, entry.event) == (self.topic, event)]

    def heartbeats(self, after: Entry | None = None) -> list[Entry]:
        """The client's heartbeats, on any connection."""
        return [
            entry for entry in self.of(EntryKind.RECEIVED, after=after) if entry.event == HEARTBEAT
        ]

    def heard(self, key: str, after: Entry | None = None) -> list[Entry]:
        """The app's reports that have this key, made by a push or over HTTP."""
        reports = [*self.received("heard", after), *self.of(EntryKind.HEARD, after=after)]
        found = [e for e in reports if isinstance(e.payload, dict) and key in e.payload]
        return sorted(found, key=lambda entry: entry.number)

    def has_waited(self, since: Entry) -> bool:
        """Whether the timeout after an entry has passed, or the record is final."""
        return self.is_final or self.now_s - since.at_s > self.timeout_s


def passed(reason: str, *evidence: Entry) -> Finding:
    """The client passed."""
    return Finding(Outcome.PASSED, reason, evidence[:_MAX_EVIDENCE])


def failed(reason: str, *evidence: Entry) -> Finding:
    """The client failed."""
    return Finding(Outcome.FAILED, reason, evidence[:_MAX_EVIDENCE])


def too_early(reason: str, *evidence: Entry) -> Finding:
    """It is too early to tell."""
    return Finding(Outcome.WAITING, reason, evidence[:_MAX_EVIDENCE])


def not_seen(reason: str) -> Finding:
    """The client did not do its part of the scenario."""
    return Finding(Outcome.NOT_SEEN, reason)


Rule = Callable[[RecordView], Finding]


def once_struck(rule: Callable[[RecordView, Sequence[Entry]], Finding]) -> Rule:
    """Call a rule with the strikes of the fault, and only once there is one."""

    @wraps(rule)
    def judge(view: RecordView) -> Finding:
        strikes = view.strikes
        return rule(view, strikes) if strikes else _not_struck(view)

    return judge


def _not_struck(view: RecordView) -> Finding:
    """Explain why the fault did not strike."""
    if not view.joins():
        return not_seen("the topic was not joined")
    refused = view.first(EntryKind.SENT, where=lambda entry: _is_refusal(entry, view.topic))
    if refused is not None:
        return not_seen(f"the join was refused: {refused.payload['response'].get('reason')}")
    return not_seen("the fault did not strike: the app pushed nothing")


def _is_refusal(entry: Entry, topic: str) -> bool:
    payload = entry.payload if isinstance(entry.payload, dict) else {}
    return entry.topic == topic and payload.get("status") == "error"


def missing(view: RecordView, since: Entry, what: str) -> Finding:
    """`what` has not followed the entry `since`: a failure once the timeout has passed."""
    if view.has_waited(since):
        waited_s = view.now_s - since.at_s
        return failed(f"no {what} within {waited_s:.1f} s", since)
    return too_early(f"waiting for {what}", since)


def value_of(entry: Entry, key: str) -> Any:
    """The value of a key in the entry's payload, or None."""
    return entry.payload.get(key) if isinstance(entry.payload, dict) else None


def wait_for_more(view: RecordView, since: Entry, settled_s: float = _SETTLED_S) -> Finding | None:
    """Too early, until `settled_s` has passed without anything more; then None."""
    if view.is_final or view.now_s - since.at_s > settled_s:
        return None
    return too_early("waiting to see whether more comes", since)


def format_seconds(values: Sequence[float]) -> str:
    """Durations as text, such as `0.01, 0.05 s`."""
    return ", ".join(f"{value:.2f}" for value in values) + (" s" if values else "")
