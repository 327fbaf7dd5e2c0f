"""Checks the server's replies: whether there was a request, who answers it, and in which order.

The order is certain because a socket reads one message at a time, waits for a join to return, and
writes its own answers at once. So when a message is answered, every earlier one has been decided.

Source: phoenix 1.8.12, lib/phoenix/socket.ex, handle_in/4; lib/phoenix/channel/server.ex, join/4.
"""

from __future__ import annotations

from phoenix_compat.conformance.trace.recording.frames import Entry
from phoenix_compat.conformance.trace.rules import server_rules as rules
from phoenix_compat.conformance.trace.rules import wire_rules
from phoenix_compat.conformance.trace.server_frame import ServerMessage, key, same
from phoenix_compat.conformance.trace.state import Join, JoinStatus, Request, RequestKind, State
from phoenix_compat.protocol.message import UNMATCHED_TOPIC

_OK_EMPTY = {"status": "ok", "response": {}}
_UNMATCHED = {"status": "error", "response": UNMATCHED_TOPIC}


def check_reply(state: State, entry: Entry, reply: ServerMessage) -> None:
    """Find the request that a reply answers, and check the reply against it."""
    if not _has_valid_payload(reply):
        detail = key(reply.payload) if not isinstance(reply.payload, bytes) else "bytes"
        state.report(rules.REPLY_PAYLOAD, entry, detail[:120])
        return
    request = _find_request(state, entry, reply)
    if request is None:
        return
    if request.answers:
        _check_further_reply(state, entry, request)
        return
    request.answers += 1
    _check_turn(state, entry, request)
    if request in state.waiting:
        state.waiting.remove(request)
    match request.kind:
        case RequestKind.HEARTBEAT:
            _check_heartbeat(state, entry, request, reply)
        case RequestKind.JOIN:
            _check_join(state, entry, request, reply)
        case RequestKind.LEAVE:
            _check_leave(state, entry, request, reply)
        case RequestKind.EVENT:
            _check_event(state, entry, request, reply)


def _has_valid_payload(reply: ServerMessage) -> bool:
    payload = reply.payload
    return (
        isinstance(payload, dict)
        and payload.keys() == {"status", "response"}
        and isinstance(payload["status"], str)
    )


def _find_request(state: State, entry: Entry, reply: ServerMessage) -> Request | None:
    requests = state.requests.get(key(reply.ref), [])
    if not requests and reply.is_binary:
        asked = (ones for ones in state.requests.values() if ones)
        requests = next((o for o in asked if reply.has_sent(reply.ref, o[-1].message.ref)), [])
    here = [request for request in requests if same(request.message.topic, reply.topic)]
    if here:
        return next((request for request in here if not request.answers), here[-1])
    if requests:
        detail = f"ref {key(reply.ref)} is of topic {requests[-1].message.topic!r}"
        state.report(rules.REPLY_TOPIC, entry, detail)
        return None
    alike = [ref for ref in state.requests if ref.strip('"') == key(reply.ref).strip('"')]
    if alike:
        state.report(rules.REPLY_REF_TYPE, entry, f"{alike[0]} came back as {key(reply.ref)}")
        # The client will not recognize this reply, but from here on the request counts as answered.
        return state.requests[alike[0]][-1]
    state.report(rules.REPLY_NEVER_ASKED, entry, f"ref {key(reply.ref)}")
    return None


def _check_further_reply(state: State, entry: Entry, request: Request) -> None:
    request.answers += 1
    is_from_channel = request.kind is RequestKind.EVENT and not request.is_final
    rule = rules.REPLY_AGAIN if is_from_channel else rules.REPLY_TWICE
    state.report(rule, entry, f"reply {request.answers} to frame {request.number}")


def _check_turn(state: State, entry: Entry, request: Request) -> None:
    if state.undecodable is not None and state.undecodable.number < request.number:
        detail = f"frame {state.undecodable.number} cannot be read"
        state.report(wire_rules.SOCKET_SURVIVED, entry, detail)
        state.undecodable = None
    if (join := state.pending_join(request)) is not None:
        detail = (
            f"answers frame {request.number}; the join of frame {join.number} has no answer yet"
        )
        state.report(rules.REPLY_OVERTAKES_JOIN, entry, detail)
        state.waiting.remove(join)


def _check_heartbeat(state: State, entry: Entry, request: Request, reply: ServerMessage) -> None:
    if reply.payload != _OK_EMPTY or reply.join_ref is not None:
        state.report(rules.HEARTBEAT_REPLY, entry, f"join_ref {key(reply.join_ref)}")
    for skipped in [one for one in state.waiting if one.number < request.number]:
        if skipped.kind is RequestKind.HEARTBEAT:
            state.report(rules.HEARTBEAT_SKIPPED, entry, f"frame {skipped.number} has no answer")
            state.waiting.remove(skipped)


def _check_join(state: State, entry: Entry, request: Request, reply: ServerMessage) -> None:
    request.is_final = True
    join = request.join
    if join is None:  # a join request always has one
        return
    wanted = None if reply.payload == _UNMATCHED else join.stored
    if reply.has_join_ref and not reply.has_sent(reply.join_ref, wanted):
        detail = f"{key(reply.join_ref)}, wanted {key(wanted)}"
        state.report(rules.JOIN_REPLY_JOIN_REF, entry, detail)
    for earlier in state.joins(reply.topic):
        if earlier.number < join.number:
            earlier.is_replaced = True
    is_accepted = reply.payload["status"] == "ok"
    join.status = JoinStatus.JOINED if is_accepted else JoinStatus.REFUSED


def _check_leave(state: State, entry: Entry, request: Request, reply: ServerMessage) -> None:
    request.is_final = True
    join = request.join
    if reply.payload != _OK_EMPTY:
        state.report(rules.LEAVE_REPLY, entry, key(reply.payload)[:120])
    if join is None or not _was_accepted(join):
        _check_leave_ref(state, entry, reply, request.message.join_ref)
        return
    if join.is_live and _is_stale(request, join):
        state.report(rules.REPLY_STALE, entry, _stale_detail(request, join))
        return
    if join.end is not None:  # the channel has ended, so the socket answers
        if join.end.number > request.number:
            _report_early_close(state, request, join)
        _check_leave_ref(state, entry, reply, join.channel_ref, request.message.join_ref)
        return
    _check_leave_ref(state, entry, reply, join.channel_ref)
    join.leave_answered = join.leave_answered or entry


def _check_leave_ref(state: State, entry: Entry, reply: ServerMessage, *allowed: object) -> None:
    if reply.has_join_ref and not any(reply.has_sent(reply.join_ref, one) for one in allowed):
        wanted = " or ".join(map(key, allowed))
        state.report(rules.REPLY_JOIN_REF, entry, f"{key(reply.join_ref)}, wanted {wanted}")


def _report_early_close(state: State, request: Request, join: Join) -> None:
    if join.end is not None and not join.is_replaced:
        detail = f"the leave is frame {request.number}"
        state.report(rules.END_CLOSE_BEFORE_REPLY, join.end, detail)


def _check_event(state: State, entry: Entry, request: Request, reply: ServerMessage) -> None:
    join = request.join
    is_from_channel = (
        join is not None
        and _was_accepted(join)
        and (not reply.has_join_ref or reply.has_sent(reply.join_ref, join.channel_ref))
    )
    if reply.payload == _UNMATCHED and not is_from_channel:
        request.is_final = True
        _check_unmatched(state, entry, request, reply)
    elif join is None or join.status is JoinStatus.REFUSED:
        state.report(rules.REPLY_NOT_JOINED, entry, f"answers frame {request.number}")
    elif join.end is not None and join.end.number < request.number:
        detail = f"the channel ended with frame {join.end.number}"
        state.report(rules.REPLY_NOT_JOINED, entry, detail)
    elif join.status is not JoinStatus.REQUESTED:
        _check_channel_reply(state, entry, request, reply, join)


def _check_unmatched(state: State, entry: Entry, request: Request, reply: ServerMessage) -> None:
    if reply.join_ref is not None:
        state.report(rules.UNMATCHED_JOIN_REF, entry, key(reply.join_ref))
    if request.join is not None and request.join.is_live:
        detail = f"joined by frame {request.join.number}"
        state.report(rules.UNMATCHED_JOINED, entry, detail)


def _check_channel_reply(
    state: State, entry: Entry, request: Request, reply: ServerMessage, join: Join
) -> None:
    if _is_stale(request, join):
        state.report(rules.REPLY_STALE, entry, _stale_detail(request, join))
    elif reply.has_join_ref and not reply.has_sent(reply.join_ref, join.channel_ref):
        detail = f"{key(reply.join_ref)}, wanted {key(join.channel_ref)}"
        state.report(rules.REPLY_JOIN_REF, entry, detail)


def _was_accepted(join: Join) -> bool:
    return join.status in {JoinStatus.JOINED, JoinStatus.ENDED}


def _is_stale(request: Request, join: Join) -> bool:
    sent = request.message.join_ref
    return sent is not None and not same(sent, join.stored)


def _stale_detail(request: Request, join: Join) -> str:
    return (
        f"{key(request.message.join_ref)} in frame {request.number}, stored is {key(join.stored)}"
    )
