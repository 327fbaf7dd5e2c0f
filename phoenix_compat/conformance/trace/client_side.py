"""Checks what the client sends, by what it had received up to then."""

from __future__ import annotations

from typing import Any

import msgspec

from phoenix_compat.conformance.trace.recording.frames import Binary, Entry, Text
from phoenix_compat.conformance.trace.rules import client_rules as rules
from phoenix_compat.conformance.trace.server_frame import Version, key, same
from phoenix_compat.conformance.trace.state import (
    Join,
    JoinStatus,
    Request,
    RequestKind,
    State,
    request_kind,
)
from phoenix_compat.errors import ProtocolError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import PHX_CLOSE, PHX_ERROR, PHX_REPLY, Message
from phoenix_compat.protocol.serializer import V1, V2

_ARRAY = msgspec.json.Decoder(list[Any])
_SERVER_EVENTS = (PHX_REPLY, PHX_CLOSE, PHX_ERROR)


def check_client_frame(state: State, entry: Entry, frame: Text | Binary) -> None:
    """Check a frame of the client, and remember it as a request."""
    message = _decode(state, entry, frame)
    if message is None:
        return
    kind = request_kind(message)
    before = state.last_join(message.topic)
    _check_ref(state, entry, message, kind)
    if kind is RequestKind.JOIN:
        _check_join(state, entry, before)
    elif kind is not RequestKind.HEARTBEAT:
        _check_channel_message(state, entry, message, before)
    join = state.add_join(entry, message) if kind is RequestKind.JOIN else before
    if kind is RequestKind.LEAVE and before is not None and _belongs_to(message, before):
        before.leave = before.leave or entry
    request = Request(entry, message, kind, join)
    state.requests.setdefault(key(message.ref), []).append(request)
    if kind in {RequestKind.JOIN, RequestKind.HEARTBEAT}:
        state.waiting.append(request)


def _decode(state: State, entry: Entry, frame: Text | Binary) -> Message | None:
    serializer = V1 if state.version is Version.V1 else V2
    is_binary = isinstance(frame, Binary)
    data = frame.data if isinstance(frame, Binary) else frame.text.encode("utf-8", "surrogatepass")
    try:
        message = serializer.decode(data, is_binary=is_binary)
    except ProtocolError as error:
        state.report(rules.CLIENT_UNDECODABLE, entry, str(error))
        state.undecodable = state.undecodable or entry
        return None
    if serializer is V2 and not is_binary:
        places = len(jason.decode(_ARRAY, data))
        if places > 5:
            state.report(rules.CLIENT_ARRAY_LENGTH, entry, f"{places} elements")
    return message


def _check_ref(state: State, entry: Entry, message: Message, kind: RequestKind) -> None:
    if message.ref is None:
        if kind in {RequestKind.JOIN, RequestKind.LEAVE}:
            state.report(rules.CLIENT_NO_REF, entry, "ref is null")
        return
    if earlier := state.requests.get(key(message.ref)):
        detail = f"ref {key(message.ref)} was sent in frame {earlier[-1].number}"
        state.report(rules.CLIENT_DUPLICATE_REF, entry, detail)


def _check_join(state: State, entry: Entry, before: Join | None) -> None:
    if before is None or before.leave is not None:
        return
    if before.status is JoinStatus.REQUESTED or before.is_live:
        detail = f"joined by frame {before.number}, and not left"
        state.report(rules.CLIENT_DUPLICATE_JOIN, entry, detail)


def _check_channel_message(
    state: State, entry: Entry, message: Message, before: Join | None
) -> None:
    is_leave = request_kind(message) is RequestKind.LEAVE
    if message.event in _SERVER_EVENTS:
        state.report(rules.CLIENT_RESERVED_EVENT, entry, f"event {message.event}")
    if before is None:
        rule = rules.CLIENT_LEAVE_NOT_JOINED if is_leave else rules.CLIENT_NOT_JOINED
        state.report(rule, entry, f"topic {message.topic!r} was never joined here")
        return
    if not is_leave and (reason := _why_ended(before)):
        state.report(rules.CLIENT_NOT_JOINED, entry, f"topic {message.topic!r} {reason}")
        return
    if before.status is JoinStatus.REQUESTED and not is_leave:
        detail = f"the join of frame {before.number} has no answer yet"
        state.report(rules.CLIENT_BEFORE_JOIN_REPLY, entry, detail)
    _check_join_ref(state, entry, message, before)


def _why_ended(join: Join) -> str:
    if join.status is JoinStatus.REFUSED:
        return f"was refused to frame {join.number}"
    if join.end is not None:
        return f"ended with frame {join.end.number}"
    if join.leave is not None:
        return f"was left with frame {join.leave.number}"
    return ""


def _check_join_ref(state: State, entry: Entry, message: Message, before: Join) -> None:
    if message.join_ref is None:
        if state.version is Version.V2 and before.stored is not None:
            state.report(rules.CLIENT_NO_JOIN_REF, entry, "join_ref is null")
    elif not _belongs_to(message, before):
        detail = f"{key(message.join_ref)}, and the join's is {key(before.stored)}"
        state.report(rules.CLIENT_JOIN_REF, entry, detail)


def _belongs_to(message: Message, join: Join) -> bool:
    return message.join_ref is None or same(message.join_ref, join.stored)
