"""Attempts to connect again: how many, how quickly, and which of them led back to the topic."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from phoenix_compat.conformance.faults.record import Entry, EntryKind
from phoenix_compat.conformance.faults.record_view import (
    HAMMERING_GAP_S,
    Finding,
    RecordView,
    failed,
    format_seconds,
    missing,
    passed,
)

_FREE_ATTEMPTS: Final = 3


def check_reconnect(view: RecordView, since: Entry) -> Finding:
    """Check that the client opened a new connection after `since` and joined the topic on it."""
    opened = view.first(EntryKind.OPENED, since)
    if opened is None:
        return missing(view, since, "new connection")
    joins = [j for j in view.joins(since) if j.connection > since.connection]
    join = next((j for j in joins if not _was_closed_by_server(view, j.connection)), None)
    if join is None:
        return missing(view, opened, "join of the topic on the new connection")
    last_open = [
        e for e in view.of(EntryKind.OPENED, after=since) if e.connection <= join.connection
    ]
    return passed(
        f"connected after {last_open[-1].at_s - since.at_s:.2f} s, joined again after"
        f" {join.at_s - since.at_s:.2f} s",
        since,
        last_open[-1],
        join,
    )


def attempts_until_joined(view: RecordView, since: Entry) -> list[Entry]:
    """The attempts to connect after `since`, up to the one on which the topic was joined."""
    joins = [join for join in view.joins(since) if join.connection > since.connection]
    last = joins[0].connection if joins else None
    attempts = view.of(EntryKind.ATTEMPT, after=since)
    if last is not None and not _was_closed_by_server(view, last):
        attempts = [attempt for attempt in attempts if attempt.connection <= last]
    return attempts


def _was_closed_by_server(view: RecordView, connection: int) -> bool:
    """Whether the server closed this connection."""
    return any(entry.connection == connection for entry in view.of(EntryKind.CLOSING))


def _gaps(attempts: Sequence[Entry]) -> list[float]:
    return [later.at_s - earlier.at_s for earlier, later in pairwise(attempts)]


def hammering(attempts: Sequence[Entry]) -> Finding | None:
    """A failure, if the attempts follow each other too quickly."""
    late_gaps = _gaps(attempts)[_FREE_ATTEMPTS:]
    if late_gaps and min(late_gaps) < HAMMERING_GAP_S:
        return failed(f"hammers: waited {gaps_text(attempts)} between attempts", *attempts)
    return None


def shrinking(attempts: Sequence[Entry]) -> Finding | None:
    """A failure, if the waits become shorter."""
    gaps = _gaps(attempts)
    half = len(gaps) // 2
    # Only below one half, because good clients add jitter.
    if half and sum(gaps[-half:]) < sum(gaps[:half]) / 2:
        return failed(f"waits shrink: {gaps_text(attempts)} between attempts", *attempts)
    return None


def gaps_text(attempts: Sequence[Entry]) -> str:
    """The waits between the attempts, as text."""
    return format_seconds(_gaps(attempts)) or "nothing"
