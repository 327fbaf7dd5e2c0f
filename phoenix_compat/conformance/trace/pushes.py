"""Checks what a server sends without a request: pushes, broadcasts, and the ends of channels.

Source: phoenix 1.8.12, lib/phoenix/channel/server.ex (push, dispatch/3) and lib/phoenix/socket.ex
(encode_close/3, encode_on_exit/4, handle_in/4 for a duplicate join); lib/phoenix/presence.ex.
"""

from __future__ import annotations

from typing import Any

from phoenix_compat.conformance.trace.recording.frames import Entry
from phoenix_compat.conformance.trace.rules import server_rules as rules
from phoenix_compat.conformance.trace.rules import wire_rules
from phoenix_compat.conformance.trace.server_frame import ServerMessage, Version, key, same
from phoenix_compat.conformance.trace.state import Join, JoinStatus, State
from phoenix_compat.protocol.message import CHANNEL_CRASH, PHX_CLOSE, PHX_ERROR

_DIFF = "presence_diff"
_STATE = "presence_state"


def check_event(state: State, entry: Entry, event: ServerMessage) -> None:
    """Check a push or a broadcast."""
    if event.ref is not None:
        state.report(rules.PUSH_REF, entry, f"ref {key(event.ref)}")
    if state.version is Version.V2 and not isinstance(event.payload, dict | bytes):
        state.report(wire_rules.PAYLOAD_NOT_AN_OBJECT, entry, key(event.payload)[:120])
    joins = state.joins(event.topic)
    if event.join_ref is not None:
        _check_push(state, entry, event, joins)
    elif not any(join.is_open for join in joins):
        _check_event_without_channel(state, entry, joins[-1] if joins else None)
    if event.event == _DIFF:
        _check_diff(state, entry, event)
    elif event.event == _STATE:
        _check_presences(state, entry, event.payload)


def _check_push(state: State, entry: Entry, event: ServerMessage, joins: list[Join]) -> None:
    own = [join for join in joins if event.has_sent(event.join_ref, join.channel_ref)]
    if not joins or (own and not any(join.is_open for join in own)):
        _check_event_without_channel(state, entry, own[-1] if own else None)
    elif not own:
        wanted = " or ".join(key(join.channel_ref) for join in joins[-2:])
        state.report(rules.PUSH_JOIN_REF, entry, f"{key(event.join_ref)}, wanted {wanted}")


def _check_event_without_channel(state: State, entry: Entry, join: Join | None) -> None:
    """Choose the rule for an event without a live channel, by the last join it could belong to."""
    if join is None:
        state.report(rules.PUSH_NOT_JOINED, entry, "never joined")
    elif join.status is JoinStatus.REFUSED:
        state.report(rules.PUSH_NOT_JOINED, entry, f"the join of frame {join.number} was refused")
    elif join.end is not None:
        state.report(rules.PUSH_AFTER_CLOSE, entry, f"ended with frame {join.end.number}")
    else:
        detail = f"the join of frame {join.number} has no answer yet"
        state.report(rules.PUSH_BEFORE_JOIN_REPLY, entry, detail)


def _check_diff(state: State, entry: Entry, event: ServerMessage) -> None:
    if event.join_ref is not None:
        state.report(rules.PRESENCE_DIFF_JOIN_REF, entry, key(event.join_ref))
    payload = event.payload
    if not isinstance(payload, dict) or payload.keys() != {"joins", "leaves"}:
        found = f"keys {sorted(payload)}" if isinstance(payload, dict) else "not an object"
        state.report(rules.PRESENCE_DIFF, entry, found[:120])
        return
    for presences in payload.values():
        _check_presences(state, entry, presences)


def _check_presences(state: State, entry: Entry, presences: Any) -> None:
    found = presences.values() if isinstance(presences, dict) else [presences]
    if not all(_is_presence(presence) for presence in found):
        state.report(
            rules.PRESENCE_METAS, entry, "" if isinstance(presences, dict) else "not an object"
        )


def _is_presence(presence: Any) -> bool:
    metas = presence.get("metas") if isinstance(presence, dict) else None
    return isinstance(metas, list) and all(
        isinstance(meta, dict) and "phx_ref" in meta for meta in metas
    )


def check_end(state: State, entry: Entry, end: ServerMessage) -> None:
    """Check a phx_close or phx_error, and end the channel that it belongs to."""
    _check_end_payload(state, entry, end)
    name = end.join_ref if end.has_join_ref else end.ref
    has_right_refs = not end.has_join_ref or same(end.join_ref, end.ref)
    joins = [join for join in state.joins(end.topic) if join.is_open]
    own = [join for join in joins if same(join.stored, name)]
    if not joins:
        _check_end_without_channel(state, entry, end)
        return
    if not own or not has_right_refs:
        stored = key((own or joins)[0].stored)
        detail = f"join_ref {key(end.join_ref)}, ref {key(end.ref)}, wanted {stored}"
        state.report(rules.END_REFS, entry, detail)
    _end(state, entry, end, (own or joins)[0])


def _check_end_payload(state: State, entry: Entry, end: ServerMessage) -> None:
    if end.event == PHX_CLOSE and end.payload != {}:
        state.report(rules.END_CLOSE_PAYLOAD, entry, key(end.payload)[:120])
    if end.event == PHX_ERROR and end.payload != CHANNEL_CRASH:
        state.report(rules.END_ERROR_PAYLOAD, entry, key(end.payload)[:120])


def _check_end_without_channel(state: State, entry: Entry, end: ServerMessage) -> None:
    join = state.last_join(end.topic)
    detail = "never joined"
    if join is not None and join.end is not None:
        detail = f"ended with frame {join.end.number}"
    elif join is not None:
        detail = f"the join of frame {join.number} was not answered ok"
    state.report(rules.END_NOT_JOINED, entry, detail)


def _end(state: State, entry: Entry, end: ServerMessage, join: Join) -> None:
    last = state.last_join(end.topic)
    is_early = last is not None and last is not join and last.status is JoinStatus.REQUESTED
    if is_early and join.leave is None and end.event == PHX_CLOSE:
        detail = f"the join of frame {last.number if last else 0} has no answer yet"
        state.report(rules.END_CLOSE_BEFORE_JOIN_REPLY, entry, detail)
    join.status = JoinStatus.ENDED
    join.end = entry
