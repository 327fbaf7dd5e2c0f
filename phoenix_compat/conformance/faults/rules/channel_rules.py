"""Rules about channels: joins, messages and presence. See `connection_rules` for what a rule is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from phoenix_compat.conformance.faults.record import Entry, EntryKind
from phoenix_compat.conformance.faults.record_view import (
    HAMMERING_GAP_S,
    Finding,
    RecordView,
    failed,
    format_seconds,
    missing,
    not_seen,
    once_struck,
    passed,
    too_early,
    value_of,
    wait_for_more,
)


@once_struck
def rejoins(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """After phx_error, a refused join or no reply, the client rejoins without hammering."""
    before = [join for join in view.joins() if join.number < strikes[0].number]
    for struck in strikes:
        joins = view.joins(struck)
        if not joins:
            return missing(view, struck, "new join")
    joins = [*before[-1:], *view.joins(strikes[0])]
    gaps = [later.at_s - earlier.at_s for earlier, later in pairwise(joins)]
    if len(strikes) > 1 and min(gaps) < HAMMERING_GAP_S:
        return failed(f"hammers: joined again after {format_seconds(gaps)}", *joins)
    return passed(f"joined again after {format_seconds(gaps)}", *strikes[:1], *joins)


@once_struck
def uses_new_join_ref(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A join after phx_error has a new join_ref, so that late messages can be recognized."""
    before = [join for join in view.joins() if join.number < strikes[0].number]
    after = view.joins(strikes[0])
    if not after:
        return missing(view, strikes[0], "new join")
    refs = [_own_ref(before[-1]), _own_ref(after[0])]
    if refs[0] == refs[1]:
        return failed(f"joined again with the same join_ref {refs[0]!r}", before[-1], after[0])
    return passed(f"the join_ref changed from {refs[0]!r} to {refs[1]!r}", before[-1], after[0])


@once_struck
def does_not_rejoin(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """After phx_close, the client does not join again by itself."""
    joins = view.joins(strikes[0])
    if joins:
        after_s = joins[0].at_s - strikes[0].at_s
        return failed(f"joined again {after_s:.2f} s after phx_close", strikes[0], joins[0])
    if not view.has_waited(strikes[0]):
        return too_early("waiting to see whether it joins again", strikes[0])
    return passed(f"no join for {view.now_s - strikes[0].at_s:.1f} s", strikes[0])


@once_struck
def ignores_stale_messages(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """Messages with the join_ref of an earlier join reach neither the channel nor the app."""
    struck = strikes[0]
    if stale := [*view.heard("stale", struck), *_stale_replies(view, struck)]:
        return failed("the app received a message of an earlier join", struck, *stale)
    if rejoined := view.joins(struck):
        return failed("a stale phx_error or phx_close made it join again", struck, *rejoined)
    heard = view.heard("n", struck)
    if not heard:
        return missing(view, struck, "report from the app that it received the event of this join")
    if (waiting := wait_for_more(view, heard[-1])) is not None:
        return waiting
    return passed("the app received only the messages of this join", struck, *heard)


def receives_event(view: RecordView) -> Finding:
    """The app receives the event `ask` on this topic, and the client stays joined."""
    joins = view.joins()
    if not joins:
        return not_seen("the topic was not joined")
    if len(joins) > 1:
        return failed("the client did not stay joined: it joined again", *view.strikes[:1], *joins)
    heard = view.heard("n")
    if not heard:
        return missing(view, joins[0], "report from the app that it received the event `ask`")
    return passed("the app received the event", *view.strikes[:1], heard[0])


@once_struck
def receives_bytes(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The app receives a binary push with all its bytes."""
    struck = strikes[0]
    heard = view.heard("bytes", struck)
    left = view.first(EntryKind.CLIENT_CLOSED, struck, lambda e: e.connection == struck.connection)
    if left is not None and not heard:
        return failed(f"closed the connection with {left.code} when the bytes came", struck, left)
    if not heard:
        return missing(view, strikes[0], "report from the app that it received the bytes")
    if value_of(heard[0], "bytes") != 4:
        return failed(f"received {value_of(heard[0], 'bytes')!r} of 4 bytes", strikes[0], heard[0])
    return passed("the app received the four bytes", strikes[0], heard[0])


@once_struck
def receives_reply_once(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The app receives the reply to its push exactly once."""
    heard = view.heard("reply", strikes[0])
    if not heard:
        return missing(view, strikes[0], "report from the app that it received the reply")
    if len(heard) > 1:
        return failed(f"the app received one reply {len(heard)} times", strikes[0], *heard)
    if (waiting := wait_for_more(view, heard[0])) is not None:
        return waiting
    return passed("the app received the reply once", strikes[0], heard[0])


@once_struck
def reports_timeout(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The app is notified when no reply comes."""
    heard = view.heard("timeout", strikes[0])
    if not heard:
        return missing(view, strikes[0], "report from the app about the timeout")
    after_s = heard[0].at_s - strikes[0].at_s
    return passed(f"the app reported the timeout after {after_s:.2f} s", strikes[0], heard[0])


@once_struck
def buffers_pushes(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A push that the app makes while disconnected arrives once, after the rejoin."""
    if not view.received("echo"):
        return not_seen("the app pushed nothing, not even while it was connected")
    joins = view.joins(strikes[0])
    arrived = view.received("buffered", strikes[0])
    if not joins:
        return missing(view, strikes[0], "rejoin")
    if not arrived:
        return missing(view, joins[0], "push that was made while disconnected")
    if arrived[0].number < joins[0].number:
        return failed("the push came before the join", arrived[0], joins[0])
    if arrived[0].join_ref is not None and arrived[0].join_ref != joins[-1].join_ref:
        return failed("the push came with the join_ref of an earlier join", joins[-1], arrived[0])
    if len(arrived) > 1:
        return failed(f"one push came {len(arrived)} times", *arrived)
    if (waiting := wait_for_more(view, arrived[0])) is not None:
        return waiting
    return passed("the push came once, after the rejoin", strikes[0], joins[0], arrived[0])


@once_struck
def merges_presence(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A diff that comes before the state is kept, and later diffs add and remove metas."""
    rejoined = view.joins(strikes[0])
    reports = [e for e in view.heard("present", strikes[0]) if not rejoined or _before(e, rejoined)]
    lists = [value_of(entry, "present") for entry in reports]
    if not lists:
        return _no_presence(view, strikes[0])
    if lists[-1] != {"ann": 1}:
        if view.has_waited(strikes[0]) or rejoined:
            return failed(f"expected ann with 1 meta, got {lists[-1]!r}", strikes[0], *reports)
        return too_early("waiting for the last diff", *reports[-1:])
    if {"ann": 1, "bob": 1} not in lists:
        return failed("lost the diff that came before the state: bob was never present", *reports)
    return passed("the early diff was kept, the later ones merged", strikes[0], *reports)


@once_struck
def replaces_presence(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """After a rejoin, the new state replaces the old presences."""
    rejoined = view.joins(strikes[0])
    if not rejoined:
        return missing(view, strikes[0], "rejoin")
    if not view.heard("present"):
        return _no_presence(view, strikes[0])
    reports = view.heard("present", rejoined[0])
    if not reports:
        return missing(
            view, rejoined[0], "report from the app about who is present after the rejoin"
        )
    if value_of(reports[-1], "present") != {"cleo": 1}:
        return failed(f"expected cleo alone, got {value_of(reports[-1], 'present')!r}", *reports)
    return passed("the new state replaced the old one", rejoined[0], reports[-1])


def _stale_replies(view: RecordView, since: Entry) -> list[Entry]:
    return [e for e in view.heard("reply", since) if value_of(e, "reply") == {"stale": True}]


def _own_ref(join: Entry) -> Any:
    return join.ref if join.join_ref is None else join.join_ref


def _before(entry: Entry, joins: Sequence[Entry]) -> bool:
    return entry.number < joins[0].number


def _no_presence(view: RecordView, since: Entry) -> Finding:
    if view.has_waited(since):
        return not_seen(
            "the app never reported who is present: the client may not support presence"
        )
    return too_early("waiting for the app to report who is present", since)
