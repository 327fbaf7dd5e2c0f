"""Frames that Phoenix may send are not violations, however odd they look."""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.trace.checker import Timeouts, check_trace
from phoenix_compat.conformance.trace.recording.frames import Entry, Open, Side
from phoenix_compat.conformance.trace.rules.rule import Level
from tests.unit.conformance.trace.bad_recordings import JOINED, JOINED_V1, LEFT, V1, V2
from tests.unit.conformance.trace.builders import parse_recording

LEAVE_AND_JOIN = (
    JOINED + '→ ["1","2","room:a","phx_leave",{}]\n→ ["3","3","room:a","phx_join",{}]\n'
)
LEAVE_REPLY = '← ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]\n'
OLD_CLOSE = '← ["1","1","room:a","phx_close",{}]\n'
NEW_REPLY = '← ["3","3","room:a","phx_reply",{"response":{},"status":"ok"}]\n'

LEGAL = {
    "leave-and-join-in-turn": LEAVE_AND_JOIN + LEAVE_REPLY + OLD_CLOSE + NEW_REPLY,
    "leave-and-join-new-first": LEAVE_AND_JOIN + NEW_REPLY + LEAVE_REPLY + OLD_CLOSE,
    "leave-and-join-leave-lost": LEAVE_AND_JOIN + NEW_REPLY + OLD_CLOSE,
    "leave-and-join-then-push": LEAVE_AND_JOIN
    + NEW_REPLY
    + '← ["1",null,"room:a","old",{}]\n'
    + OLD_CLOSE
    + '← ["3",null,"room:a","new",{}]',
    "join-and-ref-differ": V2
    + '→ ["9","1","room:a","phx_join",{}]\n'
    + '← ["9","1","room:a","phx_reply",{"response":{},"status":"ok"}]\n'
    + '← ["9",null,"room:a","msg",{}]\n'
    + '← ["9","9","room:a","phx_error",{"reason":"channel_crash"}]',
    "integer-refs": V2
    + '→ [1,1,"room:a","phx_join",{}]\n'
    + '← [1,1,"room:a","phx_reply",{"response":{},"status":"ok"}]\n'
    + '← [1,null,"room:a","msg",{}]',
    "heartbeats-without-refs": V2
    + '→ [null,null,"phoenix","heartbeat",null]\n→ [null,null,"phoenix","heartbeat",{}]\n'
    + '← [null,null,"phoenix","phx_reply",{"response":{},"status":"ok"}]\n' * 2,
    "replies-out-of-order": JOINED
    + '→ ["1","2","room:a","slow",{}]\n→ ["1","3","room:a","echo",{}]\n'
    + '← ["1","3","room:a","phx_reply",{"response":null,"status":"weird"}]\n'
    + '← ["1","2","room:a","phx_reply",{"response":[1],"status":"ok"}]',
    "reply-after-the-channel-ended": JOINED
    + '→ ["1","2","room:a","slow",{}]\n'
    + '← ["1","1","room:a","phx_close",{}]\n'
    + '← ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "message-crosses-the-end": JOINED
    + '→ ["1","2","room:a","echo",{}]\n'
    + '← ["1","1","room:a","phx_error",{"reason":"channel_crash"}]\n'
    + '← [null,"2","room:a","phx_reply",'
    + '{"response":{"reason":"unmatched topic"},"status":"error"}]',
    "stopped-right-after-the-join": JOINED + '← ["1","1","room:a","phx_close",{}]',
    "a-channel-says-unmatched-itself": JOINED
    + '→ ["1","2","room:a","proxy",{}]\n'
    + '← ["1","2","room:a","phx_reply",'
    + '{"response":{"reason":"unmatched topic"},"status":"error"}]',
    "broadcast-with-a-reserved-name": JOINED + '← [null,null,"room:a","phx_reply",{"x":1}]',
    "v1-close-without-ref": JOINED_V1
    + '→ {"topic":"room:a","event":"phx_leave","payload":{},"ref":"2"}\n'
    + '← {"payload":{"status":"ok","response":{}},"topic":"room:a","event":"phx_reply","ref":"2"}\n'
    + '← {"event":"phx_close","payload":{},"ref":null,"topic":"room:a"}',
    "v1-push-of-a-string": JOINED_V1 + '← {"event":"e","payload":"s","ref":null,"topic":"room:a"}',
    "v1-in-binary-frames": V1
    + "→ b64 eyJ0b3BpYyI6InJvb206YSIsImV2ZW50IjoicGh4X2pvaW4iLCJwYXlsb2FkIjp7fSwicmVmIjoiMSJ9\n"
    + '← {"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"1","topic":"room:a"}',
    "no-url-objects-are-v1": JOINED_V1.replace("open vsn=1.0.0", "open ?"),
    "no-url-arrays-are-v2": JOINED.replace("open vsn=2.0.0", "open ?"),
    "no-vsn-is-v1": JOINED_V1.replace("open vsn=1.0.0", "open user=7"),
    "control-characters-are-escaped": JOINED + r'← ["1",null,"room:a","msg",{"a":"\u001F\\u00e9"}]',
    "binary-kinds": JOINED
    + "→ b64 AAEBBgMxMnJvb206YWJpbgD/\n"  # push of the client: "1", "2", "room:a", "bin"
    + "← b64 AQEBBgIxMnJvb206YW9rAP8=\n"  # its reply
    + "← b64 AAEGAjFyb29tOmFwYgQF\n"  # a push
    + "← b64 AgYBcm9vbTphYgECAw==",  # a broadcast
    "close-answered-with-any-code": JOINED + "→ close 4000\n← close 1000",
    "the-socket-crashes": V2 + "← close 1011",
    "disconnected-without-words": JOINED + "← close 1001",
    "a-heartbeat-waits-for-a-join": V2
    + '@1 → ["1","1","room:a","phx_join",{}]\n'
    + '@2 → [null,"2","phoenix","heartbeat",{}]\n'
    + '@9 ← ["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]\n'
    + '@9 ← [null,"2","phoenix","phx_reply",{"response":{},"status":"ok"}]',
    "subprotocol": "open vsn=2.0.0 offered=phoenix offered=base64url.bearer.phx.eA chosen=phoenix",
}

# Legal, but reported as a SHOULD.
WARNED = {
    "push-from-terminate": (LEFT + '← ["1",null,"room:a","bye",{}]', "push/after-close"),
    "stray-broadcast": (LEFT + '← [null,null,"room:a","msg",{}]', "push/after-close"),
    "stray-broadcast-before-the-next-join-reply": (
        LEFT + '→ ["3","3","room:a","phx_join",{}]\n← ["1",null,"room:a","msg",{}]',
        "push/after-close",
    ),
    "join-without-join-ref": (
        V2
        + '→ [null,"1","room:a","phx_join",{}]\n'
        + '← [null,"1","room:a","phx_reply",{"response":{},"status":"ok"}]\n'
        + '← ["1",null,"room:a","msg",{}]\n'
        + '→ [null,"2","room:a","phx_leave",{}]\n'
        + '← ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]\n'
        + '← [null,null,"room:a","phx_close",{}]\n'
        + '→ [null,"3","room:b","phx_leave",{}]',
        "client/leave-not-joined",
    ),
}


@pytest.mark.parametrize("text", LEGAL.values(), ids=LEGAL)
def test_legal_recordings_have_no_violations(text: str) -> None:
    """Odd but legal: no violation on either side."""
    found = check_trace(parse_recording(text).entries)

    assert [(violation.rule.id, violation.detail) for violation in found] == []


@pytest.mark.parametrize(("text", "rule_id"), WARNED.values(), ids=WARNED)
def test_unwise_recordings_are_a_should(text: str, rule_id: str) -> None:
    """Phoenix can send it, but clients drop it: a SHOULD, not a MUST."""
    found = check_trace(parse_recording(text).entries)

    assert [violation.rule.id for violation in found] == [rule_id]
    assert found[0].rule.level is Level.SHOULD


def test_each_connection_has_its_own_refs_and_topics() -> None:
    """A join on one connection does not count on another."""
    one, other = (
        parse_recording(JOINED),
        parse_recording(V2 + '→ ["1","1","room:a","echo",{}]', conn="b"),
    )

    found = check_trace([*one.entries, *other.entries])

    assert [(violation.rule.id, violation.entry.conn) for violation in found] == [
        ("client/not-joined", "b")
    ]


def test_a_name_opened_again_is_a_new_connection() -> None:
    """After a reconnect, nothing is joined."""
    first = parse_recording(JOINED).entries
    again = Entry(9, "line 9", "a", 1.0, Side.CLIENT, Open("ws://localhost/?vsn=2.0.0"))
    last = parse_recording('→ ["1","2","room:a","echo",{}]').entries

    found = check_trace([*first, again, *last])

    assert [violation.rule.id for violation in found] == ["client/not-joined"]


def test_without_times_nothing_is_late() -> None:
    """In a recording without times, nothing is overdue."""
    text = V2 + '→ [null,"2","phoenix","heartbeat",{}]\n@900 → ping x'
    timeless = [
        Entry(entry.number, entry.place, entry.conn, None, entry.side, entry.frame)
        for entry in parse_recording(text).entries
    ]

    assert check_trace(timeless) == []


def test_time_passes_for_all_connections() -> None:
    """A frame on one connection shows that a reply on another is overdue."""
    waiting = parse_recording(V2 + '@1 → [null,"2","phoenix","heartbeat",{}]')
    talking = parse_recording(V2 + "@20 → ping x\n@33 → ping x", conn="b")

    found = check_trace([*waiting.entries, *talking.entries])

    assert [(violation.rule.id, violation.entry.conn) for violation in found] == [
        ("heartbeat/unanswered", "a")
    ]


def test_the_timeouts_can_be_chosen() -> None:
    """A shorter timeout applies."""
    text = V2 + '@1 → [null,"2","phoenix","heartbeat",{}]\n@2 → ping x'

    found = check_trace(parse_recording(text).entries, Timeouts(heartbeat_s=0.5))

    assert [violation.rule.id for violation in found] == ["heartbeat/unanswered"]


def test_one_error_is_reported_once() -> None:
    """After a wrong frame, the rest is checked as if it had been correct."""
    text = JOINED + (
        '← ["1","7","room:a","phx_close",{}]\n'
        '→ ["2","2","room:a","phx_join",{}]\n'
        '← ["2","2","room:a","phx_reply",{"response":{},"status":"ok"}]\n'
        '← ["2",null,"room:a","msg",{}]'
    )

    found = check_trace(parse_recording(text).entries)

    assert [violation.rule.id for violation in found] == ["end/refs"]
