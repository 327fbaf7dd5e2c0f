"""Rules about connections: heartbeats, reconnecting, backoff.

A rule takes a RecordView and returns a Finding. Rules do not know how a client is configured. They
check that its waits are not too short and do not shrink.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from phoenix_compat.conformance.faults.record import Entry, EntryKind
from phoenix_compat.conformance.faults.record_view import (
    Finding,
    Outcome,
    RecordView,
    failed,
    missing,
    not_seen,
    once_struck,
    passed,
    too_early,
)
from phoenix_compat.conformance.faults.rules.attempts import (
    attempts_until_joined,
    check_reconnect,
    gaps_text,
    hammering,
    shrinking,
)

_MAX_UNANSWERED_HEARTBEATS: Final = 3
_IDLE_TIMEOUT_S: Final = 60.0


def sends_valid_frames(view: RecordView) -> Finding:
    """Every frame can be decoded, and no ref is used twice on a connection."""
    joins = view.joins()
    if not joins:
        return not_seen("the topic was not joined")
    if unreadable := view.of(EntryKind.UNREADABLE):
        return failed("sent a frame that is not a valid message", *unreadable)
    seen: dict[tuple[int, str], Entry] = {}
    for entry in view.of(EntryKind.RECEIVED):
        if entry.ref is None:
            continue
        key = (entry.connection, repr(entry.ref))
        if key in seen:
            return failed(f"used ref {entry.ref!r} twice on one connection", seen[key], entry)
        seen[key] = entry
    if joins[0].ref is None:
        return failed("joined without a ref: no reply can be matched", joins[0])
    return passed(f"{len(seen)} messages, each with its own ref", joins[0])


def sends_heartbeats(view: RecordView) -> Finding:
    """The client never stays silent for so long that Phoenix closes the connection."""
    joins = view.joins()
    if not joins:
        return not_seen("the topic was not joined")
    joined = joins[0]
    activity = [
        entry
        for entry in view.of(EntryKind.RECEIVED, EntryKind.PING, after=joined)
        if entry.connection == joined.connection
    ]
    beats = [
        entry for entry in activity if entry.kind is EntryKind.PING or entry.event == "heartbeat"
    ]
    end = view.first(EntryKind.ENDED, joined, lambda entry: entry.connection == joined.connection)
    until_s = view.now_s if end is None else end.at_s
    times = [joined.at_s, *(entry.at_s for entry in activity), until_s]
    longest_s = max(after - before for before, after in pairwise(times))
    if longest_s > _IDLE_TIMEOUT_S:
        return failed(
            f"silent for {longest_s:.0f} s: Phoenix closes after 60 s", joined, *activity[-1:]
        )
    if beats:
        return passed(
            f"{len(beats)} heartbeats, never silent longer than {longest_s:.1f} s", beats[0]
        )
    if end is not None or view.is_final:
        return not_seen(f"stayed for only {until_s - joined.at_s:.1f} s and sent no heartbeat")
    return too_early("waiting for a heartbeat", joined)


@once_struck
def detects_dead_connection(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The client gives up a connection on which heartbeats are not answered, and reconnects."""
    struck = strikes[0]
    beats = [beat for beat in view.heartbeats(struck) if beat.connection == struck.connection]
    if not beats:
        return missing(view, struck, "heartbeat")
    gave_up = next(
        (
            entry
            for entry in view.of(
                EntryKind.CLIENT_CLOSED, EntryKind.ENDED, EntryKind.ATTEMPT, after=beats[0]
            )
            if entry.kind is EntryKind.ATTEMPT or entry.connection == struck.connection
        ),
        None,
    )
    if len(beats) > _MAX_UNANSWERED_HEARTBEATS:
        return failed(f"sent {len(beats)} unanswered heartbeats", struck, *beats)
    if gave_up is None:
        return missing(view, beats[0], "end of the unresponsive connection")
    after_s = gave_up.at_s - beats[0].at_s
    reconnect = check_reconnect(view, struck)
    if reconnect.outcome is not Outcome.PASSED:
        return reconnect
    return passed(
        f"gave up {after_s:.2f} s after the unanswered heartbeat; {reconnect.reason}",
        struck,
        beats[0],
        gave_up,
        *reconnect.evidence[1:],
    )


@once_struck
def reconnects(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """After the connection is lost, the client reconnects and joins the topic again."""
    return check_reconnect(view, strikes[0])


@once_struck
def backs_off(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """While connections are refused, the client waits longer and longer; then it reconnects."""
    attempts = attempts_until_joined(view, strikes[0])
    if (hammered := hammering(attempts)) is not None:
        return hammered
    reconnect = check_reconnect(view, strikes[0])
    if reconnect.outcome is not Outcome.PASSED:
        return reconnect
    if (shrunk := shrinking(attempts)) is not None:
        return shrunk
    return passed(f"waited {gaps_text(attempts)} between attempts; {reconnect.reason}", *attempts)


@once_struck
def respects_refusal(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A client that is forbidden to connect stops, or at least does not hammer the server."""
    attempts = attempts_until_joined(view, strikes[0])
    if (hammered := hammering(attempts)) is not None:
        return hammered
    if not attempts:
        return missing(view, strikes[0], "attempt to reconnect")
    reconnect = check_reconnect(view, strikes[0])
    if reconnect.outcome is Outcome.PASSED:
        return passed(f"tried again after {gaps_text(attempts)}, and was accepted", *attempts)
    if not view.has_waited(attempts[-1]):
        return too_early("waiting to see whether it tries again", *attempts)
    return passed(f"stopped after {len(attempts)} refusals", *attempts)


@once_struck
def answers_ping(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The client answers a websocket ping."""
    pong = view.first(EntryKind.PONG, strikes[0])
    if pong is None:
        return missing(view, strikes[0], "pong")
    return passed(f"answered after {pong.at_s - strikes[0].at_s:.3f} s", strikes[0], pong)
