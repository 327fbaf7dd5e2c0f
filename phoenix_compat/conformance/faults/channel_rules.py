"""The rules of channels: joins, messages and presence. See `connection_rules`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from phoenix_compat.conformance.faults.record import Entry, Kind
from phoenix_compat.conformance.faults.record_view import (
    HAMMERING_GAP_S,
    Finding,
    RecordView,
    failed,
    missing,
    not_seen,
    once_struck,
    passed,
    seconds,
    settling,
    too_early,
    value_of,
)


@once_struck
def rejoins(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """After phx_error, a refusal or no answer, the client joins the topic again, and gently."""
    before = [join for join in view.joins() if join.number < strikes[0].number]
    for struck in strikes:
        joins = view.joins(struck)
        if not joins:
            return missing(view, struck, "new join")
    joins = [*before[-1:], *view.joins(strikes[0])]
    gaps = [later.at_s - earlier.at_s for earlier, later in pairwise(joins)]
    if len(strikes) > 1 and min(gaps) < HAMMERING_GAP_S:
        return failed(f"hammers: joined again after {seconds(gaps)}", *joins)
    return passed(f"joined again after {seconds(gaps)}", *strikes[:1], *joins)


@once_struck
def takes_new_join_ref(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A join after phx_error has another join_ref, so that what is late is known as stale."""
    before = [join for join in view.joins() if join.number < strikes[0].number]
    after = view.joins(strikes[0])
    if not after:
        return missing(view, strikes[0], "new join")
    refs = [_own_ref(before[-1]), _own_ref(after[0])]
    if refs[0] == refs[1]:
        return failed(f"joined again with the same join_ref {refs[0]!r}", before[-1], after[0])
    return passed(f"join_ref was {refs[0]!r}, is {refs[1]!r}", before[-1], after[0])


@once_struck
def stays_away(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """After phx_close the client does not join again by itself."""
    joins = view.joins(strikes[0])
    if joins:
        after_s = joins[0].at_s - strikes[0].at_s
        return failed(f"joined again {after_s:.2f} s after phx_close", strikes[0], joins[0])
    if not view.has_waited(strikes[0]):
        return too_early("waiting to see whether it joins again", strikes[0])
    return passed(f"no join for {view.now_s - strikes[0].at_s:.1f} s", strikes[0])


@once_struck
def ignores_stale(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """Messages with the join_ref of a former join reach neither the channel nor the app."""
    struck = strikes[0]
    if stale := [*view.heard("stale", struck), *_stale_replies(view, struck)]:
        return failed("the app heard a message of a former join", struck, *stale)
    if rejoined := view.joins(struck):
        return failed("a stale phx_error or phx_close made it join again", struck, *rejoined)
    heard = view.heard("n", struck)
    if not heard:
        return missing(view, struck, "word that the app heard the true event")
    if (waiting := settling(view, heard[-1])) is not None:
        return waiting
    return passed("only the messages of this join were heard", struck, *heard)


def hears(view: RecordView) -> Finding:
    """The app hears the event `ask` on this topic, and the client stays."""
    joins = view.joins()
    if not joins:
        return not_seen("the topic was not joined")
    if len(joins) > 1:
        return failed("the client did not stay: it joined again", *view.strikes[:1], *joins)
    heard = view.heard("n")
    if not heard:
        return missing(view, joins[0], "word that the app heard the event `ask`")
    return passed("the app heard the event", *view.strikes[:1], heard[0])


@once_struck
def hears_bytes(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The app hears a binary push, with all its bytes."""
    struck = strikes[0]
    heard = view.heard("bytes", struck)
    left = view.first(Kind.CLIENT_CLOSED, struck, lambda e: e.connection == struck.connection)
    if left is not None and not heard:
        return failed(f"closed the connection with {left.code} when the bytes came", struck, left)
    if not heard:
        return missing(view, strikes[0], "word that the app heard the bytes")
    if value_of(heard[0], "bytes") != 4:
        return failed(f"heard {value_of(heard[0], 'bytes')!r} bytes of 4", strikes[0], heard[0])
    return passed("the app heard the four bytes", strikes[0], heard[0])


@once_struck
def hears_reply_once(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The app hears the reply to its push, and hears it once."""
    heard = view.heard("reply", strikes[0])
    if not heard:
        return missing(view, strikes[0], "word that the app heard the reply")
    if len(heard) > 1:
        return failed(f"the app heard one reply {len(heard)} times", strikes[0], *heard)
    if (waiting := settling(view, heard[0])) is not None:
        return waiting
    return passed("the app heard the reply once", strikes[0], heard[0])


@once_struck
def tells_timeout(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """The app is told that no reply came."""
    heard = view.heard("timeout", strikes[0])
    if not heard:
        return missing(view, strikes[0], "word that the app heard of the timeout")
    after_s = heard[0].at_s - strikes[0].at_s
    return passed(f"the app heard of the timeout after {after_s:.2f} s", strikes[0], heard[0])


@once_struck
def buffers_pushes(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """What the app pushes while there is no connection arrives once, after the rejoin."""
    if not view.received("echo"):
        return not_seen("the app pushed nothing, not even while it was connected")
    joins = view.joins(strikes[0])
    arrived = view.received("buffered", strikes[0])
    if not joins:
        return missing(view, strikes[0], "rejoin")
    if not arrived:
        return missing(view, joins[0], "push that was made while there was no connection")
    if arrived[0].number < joins[0].number:
        return failed("the push came before the join", arrived[0], joins[0])
    if arrived[0].join_ref is not None and arrived[0].join_ref != joins[-1].join_ref:
        return failed("the push came with the join_ref of a former join", joins[-1], arrived[0])
    if len(arrived) > 1:
        return failed(f"one push came {len(arrived)} times", *arrived)
    if (waiting := settling(view, arrived[0])) is not None:
        return waiting
    return passed("the push came once, after the rejoin", strikes[0], joins[0], arrived[0])


@once_struck
def merges_presence(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """A diff that comes before the state is kept, and later diffs add and remove metas."""
    rejoined = view.joins(strikes[0])
    told = [e for e in view.heard("present", strikes[0]) if not rejoined or _before(e, rejoined)]
    lists = [value_of(entry, "present") for entry in told]
    if not lists:
        return _no_presence(view, strikes[0])
    if lists[-1] != {"ann": 1}:
        if view.has_waited(strikes[0]) or rejoined:
            return failed(f"should see ann with 1 meta, saw {lists[-1]!r}", strikes[0], *told)
        return too_early("waiting for the last diff", *told[-1:])
    if {"ann": 1, "bob": 1} not in lists:
        return failed("lost the diff that came before the state: never saw bob", *told)
    return passed("the early diff was kept, the later ones merged", strikes[0], *told)


@once_struck
def renews_presence(view: RecordView, strikes: Sequence[Entry]) -> Finding:
    """After a rejoin the new state replaces what was known."""
    rejoined = view.joins(strikes[0])
    if not rejoined:
        return missing(view, strikes[0], "rejoin")
    if not view.heard("present"):
        return _no_presence(view, strikes[0])
    told = view.heard("present", rejoined[0])
    if not told:
        return missing(view, rejoined[0], "word of who is present after the rejoin")
    if value_of(told[-1], "present") != {"cleo": 1}:
        return failed(f"should see cleo alone, saw {value_of(told[-1], 'present')!r}", *told)
    return passed("the new state replaced the old one", rejoined[0], told[-1])


def _stale_replies(view: RecordView, since: Entry) -> list[Entry]:
    return [e for e in view.heard("reply", since) if value_of(e, "reply") == {"stale": True}]


def _own_ref(join: Entry) -> Any:
    return join.ref if join.join_ref is None else join.join_ref


def _before(entry: Entry, joins: Sequence[Entry]) -> bool:
    return entry.number < joins[0].number


def _no_presence(view: RecordView, since: Entry) -> Finding:
    if view.has_waited(since):
        return not_seen("the app never said who is present: the client may not know presence")
    return too_early("waiting for word of who is present", since)
