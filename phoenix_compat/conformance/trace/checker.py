"""Checks a whole recording: each connection on its own, with one clock for all of them.

It does no I/O: it takes entries and returns violations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from phoenix_compat.conformance.trace.connection import Connection, Timeouts
from phoenix_compat.conformance.trace.recording.frames import Entry, Open
from phoenix_compat.conformance.trace.rules.rule import Rule

_LATE_CHECK_INTERVAL_S = 1.0

__all__ = ["Timeouts", "TraceChecker", "Violation", "check_trace"]


@dataclass(frozen=True, slots=True)
class Violation:
    """One entry that breaks one rule.

    Attributes:
        detail: what exactly was found; may be empty.
    """

    rule: Rule
    entry: Entry
    detail: str


class TraceChecker:
    """Takes a recording entry by entry; `finish` returns the violations."""

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        self._timeouts = timeouts or Timeouts()
        self._connections: dict[str, Connection] = {}
        self._found: list[Violation] = []
        self._late_checked_at_s = -math.inf

    def take(self, entry: Entry) -> None:
        """Take the next entry."""
        if entry.at_s is not None:
            self._report_late(entry.conn, entry.at_s)
        if isinstance(entry.frame, Open) and entry.conn in self._connections:
            self._connections.pop(entry.conn).end()
        if entry.conn not in self._connections:
            self._connections[entry.conn] = Connection(self._report, self._timeouts)
        self._connections[entry.conn].take(entry)

    def take_found(self) -> list[Violation]:
        """The violations since the last call, for a recording that goes on."""
        found, self._found = self._found, []
        return found

    def finish(self) -> list[Violation]:
        """End all connections; the violations in the order of the entries that break a rule."""
        for connection in self._connections.values():
            connection.end()
        self._connections.clear()
        return sorted(self._found, key=lambda violation: violation.entry.number)

    def _report_late(self, conn: str, now_s: float) -> None:
        """Report what is overdue: on this connection now, on the others once per interval."""
        if conn in self._connections:
            self._connections[conn].wait_until(now_s)
        if now_s - self._late_checked_at_s >= _LATE_CHECK_INTERVAL_S:
            self._late_checked_at_s = now_s
            for connection in self._connections.values():
                connection.wait_until(now_s)

    def _report(self, rule: Rule, entry: Entry, detail: str) -> None:
        self._found.append(Violation(rule, entry, detail))


def check_trace(entries: Iterable[Entry], timeouts: Timeouts | None = None) -> list[Violation]:
    """Check a recording from its first entry to its last."""
    checker = TraceChecker(timeouts)
    for entry in entries:
        checker.take(entry)
    return checker.finish()
