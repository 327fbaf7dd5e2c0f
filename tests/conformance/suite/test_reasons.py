"""The reasons of a failure say what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.conformance.suite.reasons import describe_received, is_incomplete, reasons

REPLY = {"text": ["1", "1", "t", "phx_reply", {"response": {}, "status": "ok"}]}
CLOSE = {"text": ["1", "1", "t", "phx_close", {}]}


@pytest.mark.parametrize(
    ("wanted", "got", "expected"),
    [
        ([REPLY], [REPLY], []),
        ([REPLY, CLOSE], [CLOSE, REPLY], ["a: the right frames in the wrong order"]),
        ([REPLY, CLOSE], [REPLY], ['a: a frame is missing: ["1","1","t","phx_close",{}]']),
        ([], [CLOSE], ['a: a frame too many: ["1","1","t","phx_close",{}]']),
        (
            [REPLY],
            [{"text": ["1", "1", "t", "phx_reply", {"response": {}, "status": "error"}]}],
            ['a: a frame differs: [4].status is "error", wanted "ok"'],
        ),
        ([{"text": [1, {"a": {"b": 1}}]}], [{"text": [1, {"a": {}}]}],
         ['a: a frame differs: [1].a is {}, wanted {"b":1}']),
        ([{"close": 1001}], [{"close": 1}], ["a: a frame differs: close 1, wanted close 1001"]),
        ([{"close": 1001}], [{"pong": "x"}], ["a: a frame differs: pong x, wanted close 1001"]),
    ],
)  # fmt: skip
def test_frames(wanted: list[Any], got: list[Any], expected: list[str]) -> None:
    """Missing, extra, changed and reordered frames have different reasons."""
    received = [{"frames": {"a": frames}} if frames else {} for frames in (wanted, got)]

    assert reasons(*received) == expected


@pytest.mark.parametrize(
    ("wanted", "got", "expected"),
    [
        ({}, {"a": []}, False),
        ({"a": [REPLY]}, {}, True),
        ({"a": [REPLY, CLOSE]}, {"a": [CLOSE]}, True),
        ({"a": [REPLY]}, {"a": [REPLY]}, False),
        ({"a": [REPLY]}, {"a": [{"close": 1006}]}, False),
        ({"a": [REPLY]}, {"b": [REPLY]}, False),
    ],
)
def test_frames_can_only_be_missing_while_none_is_wrong(
    wanted: dict[str, list[Any]], got: dict[str, list[Any]], *, expected: bool
) -> None:
    """A frame that is not wanted decides the step: nothing more is waited for."""
    assert is_incomplete(wanted, got) is expected


def test_openings_and_answers() -> None:
    """A different status is described with its path."""
    assert reasons({"open": {"status": 403}}, {"open": {"status": 101, "protocol": None}}) == [
        'the opening: {"status":101,"protocol":null}, wanted {"status":403}'
    ]
    assert reasons(
        {"http": {"status": 200, "body": {"status": 410}}},
        {"http": {"status": 200, "body": {"status": 200}}},
    ) == ["the answer: body.status is 200, wanted 410"]


def test_received_frames_have_a_line_each() -> None:
    """Each frame has a line; no frames are `nothing`."""
    received = {"open": {"status": 101}, "frames": {"a": [{"b64": "AP8="}], "b": [{"gone": True}]}}

    assert list(describe_received(received)) == [
        'open: {"status":101}',
        "a: b64 AP8=",
        "b: gone true",
    ]
    assert list(describe_received({})) == ["nothing"]


def v2(event: str, topic: str = "presence:a") -> dict[str, Any]:
    """A text frame with this event."""
    return {"text": ["1", None, topic, event, {}]}


def v1(event: str) -> dict[str, Any]:
    """The same as V1."""
    return {"text": {"topic": "presence:a", "event": event, "payload": {}, "ref": None}}


DIFF, STATE, JOINED = v2("presence_diff"), v2("presence_state"), v2("phx_reply")
OTHER_STATE = v2("presence_state", "presence:b")
V1_DIFF, V1_STATE = v1("presence_diff"), v1("presence_state")


@pytest.mark.parametrize(
    ("wanted", "got", "is_right"),
    [
        ([JOINED, DIFF, STATE], [JOINED, STATE, DIFF], True),
        ([JOINED, STATE, DIFF], [JOINED, DIFF, STATE], True),
        ([DIFF, DIFF, STATE], [STATE, DIFF, DIFF], True),
        ([V1_DIFF, V1_STATE], [V1_STATE, V1_DIFF], True),
        ([JOINED, DIFF, STATE], [DIFF, JOINED, STATE], False),
        ([JOINED, DIFF, STATE], [STATE, JOINED, DIFF], False),
        ([DIFF, OTHER_STATE], [OTHER_STATE, DIFF], False),
        ([DIFF, STATE], [STATE], False),
    ],
)
def test_the_order_of_a_diff_and_the_state_is_open(
    wanted: list[Any], got: list[Any], *, is_right: bool
) -> None:
    """As in Phoenix, where a task broadcasts the diff; nothing else may change its place."""
    found = reasons({"frames": {"a": wanted}}, {"frames": {"a": got}})

    assert (not found) is is_right
