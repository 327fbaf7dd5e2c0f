"""The rules of connections: what a client should have done, read from the record of one lane.

A rule takes a RecordView and returns a Finding. No rule knows how a client is configured: waits are
judged by whether they hammer, and by whether they shrink.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from phoenix_compat.conformance.faults.record import Entry, Kind
from phoenix_compat.conformance.faults.record_view import (
    HAMMERING_GAP_S,
    Finding,
    Outcome,
    RecordView,
    failed,
    missing,
    not_seen,
    once_struck,
    passed,
    seconds,
    too_early,
)

_FREE_ATTEMPTS: Final = 3
_MAX_UNANSWERED_HEARTBEATS: Final = 3
_IDLE_TIMEOUT_S: Final = 60.0


def well_formed(view: RecordView) -> Finding:
    """Every frame can be read, and no ref is used twice on a connection."""
    joins = view.joins()
    if not joins:
        return not_seen("the topic was not joined")
    if unreadable := view.of(Kind.UNREADABLE):
        return failed("sent a frame that is no message", *unreadable)
    seen: dict[tuple[int, str], Entry] = {}
    for entry in view.of(Kind.RECEIVED):
        if entry.ref is None:
            continue
        key = (entry.connection, repr(entry.ref))
        if key in seen:
            return failed(f"used ref {entry.ref!r} twice on one connection", seen[key], entry)
        seen[key] = entry
    if joins[0].ref is None:
        return failed("joined without a ref: no reply can be matched", joins[0])
    return passed(f"{len(seen)} messages, each with a ref of its own", joins[0])


def heartbeats(view: RecordView) -> Finding:
    """The client is never silent for as long as makes Phoenix close the connection."""
    joins = view.joins()
    if not joins:
        return not_seen("the topic was not joined")
    joined = joins[0]
    said = [
        entry
        for entry in view.of(Kind.RECEIVED, Kind.PING, after=joined)
        if entry.connection == joined.connection
    ]
    beats = [entry for entry in said if entry.kind is Kind.PING or entry.event == "heartbeat"]
    end = view.first(Kind.ENDED, joined, lambda entry: entry.connection == joined.connection)
    until_s = view.now_s if end is None else end.at_s
    times = [joined.at_s, *(entry.at_s for entry in said), until_s]
    longest_s = max(after - before for before, after in pairwise(times))
    if longest_s > _IDLE_TIMEOUT_S:
        return failed(
            f"silent for {longest_s:.0f} s: Phoenix closes after 60 s", joined, *said[-1:]
        )
    if beats:
        return passed(
            f"{len(beats)} heartbeats, never silent longer than {longest_s:.1f} s", beats[0]
        )
    if end is not None or view.is_final:
        return not_seen(f"stayed for {until_s - joined.at_s:.1f} s only, and sent no heartbeat")
    return too_early("waiting for a heartbeat", joined)


@once_struck
def notices_silence(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The client gives up a connection whose heartbeats are not answered, and comes back."""
    struck = strikes[0]
    beats = [beat for beat in view.heartbeats(struck) if beat.connection == struck.connection]
    if not beats:
        return missing(view, struck, "heartbeat to leave unanswered")
    gave_up = next(
        (
            entry
            for entry in view.of(Kind.CLIENT_CLOSED, Kind.ENDED, Kind.ATTEMPT, after=beats[0])
            if entry.kind is Kind.ATTEMPT or entry.connection == struck.connection
        ),
        None,
    )
    if len(beats) > _MAX_UNANSWERED_HEARTBEATS:
        return failed(f"sent {len(beats)} heartbeats that nobody answered", struck, *beats)
    if gave_up is None:
        return missing(view, beats[0], "end of the connection that is silent")
    after_s = gave_up.at_s - beats[0].at_s
    back = _return(view, struck)
    if back.outcome is not Outcome.PASSED:
        return back
    return passed(
        f"gave up {after_s:.2f} s after the unanswered heartbeat; {back.reason}",
        struck,
        beats[0],
        gave_up,
        *back.evidence[1:],
    )


@once_struck
def comes_back(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """After the connection is lost the client reconnects, and joins the topic again."""
    return _return(view, strikes[0])


@once_struck
def backs_off(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """While it is refused the client waits longer and longer; then it comes back."""
    attempts = _attempts_until_in(view, strikes[0])
    if (hammered := _hammering(attempts)) is not None:
        return hammered
    back = _return(view, strikes[0])
    if back.outcome is not Outcome.PASSED:
        return back
    if (shrunk := _shrinking(attempts)) is not None:
        return shrunk
    return passed(f"waited {_gaps_text(attempts)} between attempts; {back.reason}", *attempts)


@once_struck
def respects_refusal(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A client that is forbidden to connect stops, or at least does not hammer."""
    attempts = _attempts_until_in(view, strikes[0])
    if (hammered := _hammering(attempts)) is not None:
        return hammered
    if not attempts:
        return missing(view, strikes[0], "attempt to reconnect")
    back = _return(view, strikes[0])
    if back.outcome is Outcome.PASSED:
        return passed(f"tried again after {_gaps_text(attempts)}, and was let in", *attempts)
    if not view.has_waited(attempts[-1]):
        return too_early("waiting to see whether it tries again", *attempts)
    return passed(f"stopped after {len(attempts)} refusals", *attempts)


@once_struck
def answers_ping(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The client answers a websocket ping."""
    pong = view.first(Kind.PONG, strikes[0])
    if pong is None:
        return missing(view, strikes[0], "pong")
    return passed(f"answered after {pong.at_s - strikes[0].at_s:.3f} s", strikes[0], pong)


def _return(view: RecordView, since: Entry) -> Finding:
    """The client opened another connection after `since` and joined the topic on it."""
    opened = view.first(Kind.OPENED, since)
    if opened is None:
        return missing(view, since, "new connection")
    joins = [j for j in view.joins(since) if j.connection > since.connection]
    join = next((j for j in joins if not _was_cut(view, j.connection)), None)
    if join is None:
        return missing(view, opened, "join of the topic on the new connection")
    last_open = [e for e in view.of(Kind.OPENED, after=since) if e.connection <= join.connection]
    return passed(
        f"connected after {last_open[-1].at_s - since.at_s:.2f} s, joined again after"
        f" {join.at_s - since.at_s:.2f} s",
        since,
        last_open[-1],
        join,
    )


def _attempts_until_in(view: RecordView, since: Entry) -> list[Entry]:
    """The attempts to connect after `since`, to the one on which the topic was joined."""
    joins = [join for join in view.joins(since) if join.connection > since.connection]
    last = joins[0].connection if joins else None
    attempts = view.of(Kind.ATTEMPT, after=since)
    if last is not None and not _was_cut(view, last):
        attempts = [attempt for attempt in attempts if attempt.connection <= last]
    return attempts


def _was_cut(view: RecordView, connection: int) -> bool:
    """Whether the server ended this connection."""
    return any(entry.connection == connection for entry in view.of(Kind.CLOSING))


def _gaps(attempts: Sequence[Entry]) -> list[float]:
    return [later.at_s - earlier.at_s for earlier, later in pairwise(attempts)]


def _hammering(attempts: Sequence[Entry]) -> Finding | None:
    late_gaps = _gaps(attempts)[_FREE_ATTEMPTS:]
    if late_gaps and min(late_gaps) < HAMMERING_GAP_S:
        return failed(f"hammers: waited {_gaps_text(attempts)} between attempts", *attempts)
    return None


def _shrinking(attempts: Sequence[Entry]) -> Finding | None:
    gaps = _gaps(attempts)
    half = len(gaps) // 2
    # Half of it, because good clients add jitter.
    if half and sum(gaps[-half:]) < sum(gaps[:half]) / 2:
        return failed(f"waits shrink: {_gaps_text(attempts)} between attempts", *attempts)
    return None


def _gaps_text(attempts: Sequence[Entry]) -> str:
    return seconds(_gaps(attempts)) or "nothing"
