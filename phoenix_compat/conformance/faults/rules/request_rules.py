"""Rules about what the app was asked to do at a bad moment, with the event `do`.

An app that ignores the event has not done its part, so there is nothing to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from phoenix_compat.conformance.faults.app import OUTDATED, other_topic
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
    value_of,
    wait_for_more,
)
from phoenix_compat.conformance.faults.rules.attempts import (
    attempts_until_joined,
    check_reconnect,
    gaps_text,
    hammering,
)
from phoenix_compat.protocol.message import PHX_LEAVE

_REJOINED_BY_NOW_S: Final = 1.5
"""phoenix.js joins again after 1 s."""
_SILENT_S: Final = 0.5
"""A client that is not suspended answers a close frame sooner."""


@once_struck
def joins_once(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A topic that the app joins while disconnected is joined once, after the reconnect."""
    struck = strikes[0]
    done = view.heard("done", struck)
    if not done:
        return _not_done(view, struck)
    joins = view.on(other_topic(view.topic)).joins(done[0])
    if not joins:
        return missing(view, done[0], "join of the other topic")
    for before, after in pairwise(joins):
        if before.connection == after.connection:
            return failed("the other topic was joined twice on one connection", before, after)
    if (waiting := wait_for_more(view, joins[-1])) is not None:
        return waiting
    return passed("joined once", struck, *joins)


@once_struck
def comes_back(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A client that was suspended finds its connection closed, and makes one new connection."""
    struck = strikes[0]
    reconnect = check_reconnect(view, struck)
    if reconnect.outcome is not Outcome.PASSED:
        return reconnect
    if not view.heard("done", struck) and not _was_silent(view, struck):
        return _not_done(view, struck)
    if (waiting := wait_for_more(view, reconnect.evidence[-1], _REJOINED_BY_NOW_S)) is not None:
        return waiting
    ended = {entry.connection for entry in view.of(EntryKind.ENDED)}
    is_open = [e for e in view.of(EntryKind.OPENED, after=struck) if e.connection not in ended]
    if len(is_open) > 1:
        return failed(f"made {len(is_open)} connections", struck, *is_open)
    return passed(reconnect.reason, *reconnect.evidence)


@once_struck
def takes_fresh_token(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A client that is refused with 403 backs off, and takes a fresh token for each attempt."""
    struck = strikes[0]
    lost = view.first(EntryKind.ATTEMPT, where=lambda entry: entry.connection == struck.connection)
    if lost is None or not lost.note:
        return not_seen("the app connected without a token")
    attempts = attempts_until_joined(view, struck)
    if (hammered := hammering(attempts)) is not None:
        return hammered
    if not attempts:
        return missing(view, struck, "attempt to reconnect")
    kept = [attempt for attempt in attempts if attempt.note == lost.note]
    if len(kept) > 1:
        return failed(f"tried {len(kept)} times with the expired token", struck, *kept)
    if check_reconnect(view, struck).outcome is Outcome.PASSED:
        reason = f"came back with {attempts[-1].note}; waited {gaps_text(attempts)} between"
        return passed(f"{reason} attempts", *attempts)
    if not view.has_waited(attempts[-1]):
        return too_early("waiting to see whether it tries again", *attempts)
    return passed(f"stopped after {len(attempts)} refusals", *attempts)


@once_struck
def survives_late_close(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """After a quick leave and join, the phx_close of the first join does not end the second."""
    struck = strikes[0]
    joins = view.joins(struck)
    if not joins:
        left = view.received(PHX_LEAVE, struck)
        return missing(view, left[0], "new join") if left else _not_done(view, struck)
    if len(joins) > 1:
        return failed(f"joined {len(joins)} times: the phx_close ended a later join", *joins)
    heard = [entry for entry in view.heard("n", joins[0]) if value_of(entry, "n") == 2]
    if not heard:
        return missing(view, joins[0], "report from the app about the event of the second join")
    if (waiting := wait_for_more(view, heard[0])) is not None:
        return waiting
    return passed("the second join went on", struck, joins[0], heard[0])


@once_struck
def leaves_while_joining(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A topic that is left before its join is answered gets a phx_leave, if the join was sent."""
    struck = strikes[0]
    other = view.on(other_topic(view.topic))
    joins, done = other.joins(struck), view.heard("done", struck)
    if not joins and not done:
        return _not_done(view, struck)
    if not joins:
        waiting = wait_for_more(view, done[0], _REJOINED_BY_NOW_S)
        return waiting or passed("neither a join nor a leave was sent", struck, done[0])
    join = joins[0]
    leaves = [e for e in other.received(PHX_LEAVE, join) if e.connection == join.connection]
    if leaves:
        after_s = leaves[0].at_s - join.at_s
        return passed(f"sent phx_leave {after_s:.2f} s after the join", struck, join, leaves[0])
    ended = view.first(EntryKind.ENDED, join, lambda entry: entry.connection == join.connection)
    if ended is not None:
        return failed("sent no phx_leave: the server still had the channel", join, ended)
    return missing(view, join, "phx_leave")


@once_struck
def stays_left(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A topic that was left before its join was answered is not joined again."""
    struck = strikes[0]
    other = view.on(other_topic(view.topic))
    joins, done = other.joins(struck), view.heard("done", struck)
    if not done:
        return _not_done(view, struck)
    if len(joins) > 1:
        return failed(f"joined {joins[1].at_s - joins[0].at_s:.2f} s after the first join", *joins)
    reconnect = check_reconnect(view, struck)
    if reconnect.outcome is not Outcome.PASSED:
        return reconnect
    rejoined = reconnect.evidence[-1]
    if joins and joins[0].connection >= rejoined.connection:
        return failed("joined after the reconnect what it had left before", done[0], *joins)
    if (waiting := wait_for_more(view, rejoined, _REJOINED_BY_NOW_S)) is not None:
        return waiting
    return passed("not joined again after the reconnect", struck, *joins, done[0], rejoined)


@once_struck
def drops_expired_push(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A push that has timed out while disconnected is not sent after the reconnect."""
    struck = strikes[0]
    if not view.heard("done", struck):
        return _not_done(view, struck)
    reconnect = check_reconnect(view, struck)
    if reconnect.outcome is not Outcome.PASSED:
        return reconnect
    rejoined = reconnect.evidence[-1]
    arrived, told = view.received(OUTDATED, struck), view.heard("expired", struck)
    if arrived and told:
        reason = "the push came, although the app was notified that it had timed out"
        return failed(reason, struck, *told, *arrived)
    last = (told or arrived or [rejoined])[-1]
    if not told and not arrived:
        return missing(view, last, "report from the app that its push has timed out")
    if (waiting := wait_for_more(view, last, _REJOINED_BY_NOW_S)) is not None:
        return waiting
    if arrived:
        return not_seen("the push came before its timeout, or the client has none")
    return passed("the app was notified, and the push was not sent", struck, rejoined, *told)


def _was_silent(view: RecordView, struck: Entry) -> bool:
    """Whether nothing came for a while after our close frame, which a running client answers."""
    closing = view.first(EntryKind.CLOSING, struck)
    if closing is None:
        return False
    signs = (EntryKind.RECEIVED, EntryKind.CLIENT_CLOSED, EntryKind.ENDED, EntryKind.ATTEMPT)
    after = view.of(*signs, after=closing)
    return bool(after) and after[0].at_s - closing.at_s > _SILENT_S


def _not_done(view: RecordView, since: Entry) -> Finding:
    if view.has_waited(since):
        return not_seen("the app did not do what the event `do` asked for")
    return too_early("waiting for the app to do what the event `do` asks for", since)
