"""The runner detects right, wrong and late answers of a scripted server."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.conformance.suite.cases import Case, parse_case
from phoenix_compat.conformance.suite.runner import (
    load_vectors,
    matches,
    run_case,
    run_cases,
)
from phoenix_compat.conformance.suite.wire_client import Opcode, encode_frame
from tests.conformance.suite.fake_server import (
    HANG_UP,
    WELCOME,
    Answers,
    FakeServer,
    close,
    plain,
    text,
)
from tests.conformance.suite.scripted_cases import (
    LATE_S,
    OPEN,
    QUIET_S,
    SILENT_STEPS,
    TOO_LATE_S,
    asking,
    judge,
)


async def test_right_answers_pass() -> None:
    """The recorded answers pass, with keys in any order."""
    case = asking({"text": [1, {"a": 1, "b": "<any>"}]}, {"b64": "AP8="}, {"raw": "no json"})
    binary = encode_frame(b"\x00\xff", Opcode.BINARY, mask=None)

    result = await judge(case, [text('[1, {"b": 7, "a": 1}]'), binary, text("no json")])

    assert result.passed, result.explain()
    assert result.explain().startswith("ok: asking websocket")


@pytest.mark.parametrize(
    ("answers", "got"),
    [
        pytest.param([text("[1]")], "[1]", id="one-missing"),
        pytest.param([text("[1]"), text("[2]"), text("[3]")], "[3]", id="one-too-many"),
        pytest.param([text("[2]"), text("[1]")], "[2]", id="wrong-order"),
        pytest.param([text("[1]"), text("[2.0]")], "[2.0]", id="float-for-integer"),
        pytest.param([text("[1]"), text('["2"]')], '["2"]', id="string-for-integer"),
        pytest.param([text("[true]"), text("[2]")], "[true]", id="true-for-one"),
        pytest.param([text("[1]"), text("[2")], "raw [2", id="not-json"),
        pytest.param([text("[1]"), text("[NaN]")], "raw [NaN]", id="nan-is-not-json"),
        pytest.param([text("[1]"), close(1011)], "close 1011", id="close-instead"),
        pytest.param([text("[1]"), HANG_UP], "close 1006", id="hung-up"),
        pytest.param([text("[1]"), TOO_LATE_S, text("[2]")], "[1]", id="too-late"),
        pytest.param([], "nothing", id="silence"),
    ],
)
async def test_wrong_answers_fail(answers: Answers, got: str) -> None:
    """A frame that is missing, extra, reordered, changed or too late fails and is shown."""
    case = asking({"text": [1]}, {"text": [2]})

    result = await judge(case, answers)

    assert not result.passed
    assert result.error is None
    assert "wanted a: [1]" in result.explain()
    assert f"got    {'' if got == 'nothing' else 'a: '}{got}" in result.explain()


async def test_a_frame_where_silence_was_recorded_fails() -> None:
    """No `frames` in the recording means that nothing was sent."""
    result = await judge(asking(), [text("[1]")])

    assert not result.passed
    assert "wanted nothing" in result.explain()


async def test_a_late_frame_fails_the_step_it_falls_into() -> None:
    """A frame that comes after its step is an extra frame in the next step."""
    case = parse_case(
        {
            "id": "late",
            "steps": [
                *SILENT_STEPS,
                {"op": "wait", "s": LATE_S, "expect": {}},
            ],
        }
    )

    result = await judge(case, [LATE_S, text("[1]")])

    assert [step.is_right for step in result.steps] == [True, True, False]


async def test_close_codes_are_compared() -> None:
    """Another close code than the recorded one fails."""
    right = await judge(asking({"close": 1001}), [close(1001)])
    wrong = await judge(asking({"close": 1001}), [close(1000)])

    assert right.passed, right.explain()
    assert not wrong.passed
    assert "got    a: close 1000" in wrong.explain()


async def test_frames_that_no_server_may_send_are_violations() -> None:
    """Masked frames, reserved bits and text that is not UTF-8 are violations."""
    masked, reserved = encode_frame("[1]"), encode_frame("[1]", rsv=4, mask=None)
    not_utf8 = encode_frame(b"\xff", mask=None)

    result = await judge(asking(), [masked, reserved, not_utf8])

    assert result.explain().count("a: violation ") == 3


async def test_fragments_are_one_message() -> None:
    """A fragmented message with a pong in between is compared as one message."""
    first = encode_frame("[1", is_final=False, mask=None)
    pong = encode_frame("p", Opcode.PONG, mask=None)
    last = encode_frame(",2]", Opcode.CONTINUATION, mask=None)

    result = await judge(asking({"pong": "p"}, {"text": [1, 2]}), [first, pong, last])

    assert result.passed, result.explain()


@pytest.mark.parametrize(
    ("response", "got"),
    [
        pytest.param(plain(403), {"status": 403}, id="refused"),
        pytest.param(
            WELCOME.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: phoenix\r\n\r\n"),
            {"status": 101, "protocol": "phoenix"},
            id="subprotocol-not-recorded",
        ),
    ],
)
async def test_the_handshake_is_compared(response: bytes, got: dict[str, Any]) -> None:
    """Another status or subprotocol than the recorded one fails the step."""
    case = parse_case({"id": "opening", "steps": [OPEN]})

    result = await judge(case, responses=(response,))

    assert not result.passed
    assert result.steps[0].got == {"open": got}


async def test_connections_are_compared_apart() -> None:
    """A frame on the wrong connection fails, even if the number of frames is right."""
    case = parse_case(
        {
            "id": "two",
            "steps": [
                OPEN,
                {**OPEN, "conn": "b"},
                {
                    "op": "send",
                    "conn": "a",
                    "json": ["?"],
                    "expect": {"frames": {"b": [{"text": [1]}]}},
                },
            ],
        }
    )

    result = await judge(case, [text("[1]")])

    assert not result.passed
    assert result.steps[2].got == {"frames": {"a": [{"text": [1]}]}}


async def test_a_connection_that_the_client_closed_is_ignored() -> None:
    """After the client has closed a connection, its frames are not compared."""
    case = parse_case(
        {"id": "closing", "steps": [OPEN, {"op": "close", "code": 1000, "expect": {}}]}
    )

    result = await judge(case, [close(1000)])

    assert result.passed, result.explain()


async def test_http_steps_capture_and_fill_values() -> None:
    """A captured value is used in later requests, and long-poll messages are parsed."""
    first = {
        "op": "http",
        "path": "/p",
        "capture": ["token"],
        "expect": {"http": {"status": 200, "body": {"token": "<any>"}}},
    }
    second = {
        "op": "http",
        "path": "/p?token=${token}",
        "want_headers": ["x-custom"],
        "expect": {
            "http": {"status": 200, "body": {"messages": [[1]]}, "headers": {"x-custom": "yes"}}
        },
    }
    case = parse_case({"id": "polling", "steps": [first, second]})
    server = FakeServer(
        responses=(
            plain(200, b'{"token":"T"}'),
            plain(200, b'{"messages":["[1]"]}', "X-Custom: yes"),
        )
    )

    async with server.run() as base_url:
        result = await run_case(case, base_url, quiet_s=QUIET_S)

    assert result.passed, result.explain()
    assert server.requests == ["GET /p HTTP/1.1", "GET /p?token=T HTTP/1.1"]


@pytest.mark.parametrize(
    "body", [b'{"messages":[[1]]}', b'{"messages":["[1]"],"x":0}', b"", b"[1]"]
)
async def test_a_different_http_body_fails(body: bytes) -> None:
    """Messages that are not strings, extra keys and missing bodies fail."""
    expect = {"http": {"status": 200, "body": {"messages": [[1]]}}}
    case = parse_case({"id": "polling", "steps": [{"op": "http", "path": "/p", "expect": expect}]})

    result = await judge(case, responses=(plain(200, body),))

    assert not result.passed


async def test_a_case_that_cannot_be_played_says_where_it_stopped() -> None:
    """Without a server, or with an impossible step, the case fails without an exception."""
    unopened = parse_case({"id": "unopened", "steps": [{"op": "ping", "conn": "b", "data": "x"}]})
    async with FakeServer().run() as base_url:
        unplayable = await run_case(unopened, base_url, quiet_s=QUIET_S)

    unreachable = await run_case(asking(), base_url, quiet_s=QUIET_S)

    assert "STOPPED: step 1: UnplayableError: connection 'b' is not open" in unplayable.explain()
    assert "STOPPED: step 1: ConnectionRefusedError" in unreachable.explain()


async def test_cases_run_concurrently_up_to_the_limit() -> None:
    """Cases run concurrently up to the limit; the results have the order of the cases."""
    cases = [Case(f"case-{number}", asking({"text": [1]}).steps) for number in range(6)]
    server = FakeServer(*[[text("[1]")]] * 4)  # the pace is measured with four messages

    async with server.run() as base_url:
        results = await run_cases(cases, base_url, concurrency=3, quiet_s=QUIET_S)

    assert [result.case.id for result in results] == [case.id for case in cases]
    assert all(result.passed for result in results)
    assert server.max_clients == 3


async def test_names_of_a_case_are_its_own() -> None:
    """Isolated names are replaced everywhere in a case, by other names in each run."""
    join = ["1", "1", "room:a", "phx_join", {}]
    case = parse_case(
        {
            "id": "isolated",
            "isolate": ["room:a"],
            "steps": [
                OPEN,
                {"op": "send", "json": join, "expect": {"frames": {"a": [{"text": join}]}}},
            ],
        }
    )

    results = [await judge(case, [text("[]")]) for _time in range(2)]

    topics = [result.steps[1].wanted["frames"]["a"][0]["text"][2] for result in results]
    assert topics[0] != topics[1]
    for topic, result in zip(topics, results, strict=True):
        assert topic.startswith("room:a-")
        assert f'"{topic}","phx_join"' in str(result.steps[1].action)


def test_any_is_any_value_but_null() -> None:
    """`<any>` matches falsy values, but not null."""
    falsy: list[Any] = [0, "", [], {}, False]

    assert all(matches("<any>", got) for got in falsy)
    assert not matches("<any>", None)


def test_the_recorded_vectors_are_there() -> None:
    """The package has all 73 recorded conversations, each with its own name."""
    cases = load_vectors()

    assert len({case.id for case in cases}) == len(cases) == 73


@pytest.mark.parametrize(
    ("posted", "polled", "is_right"),
    [(410, 410, True), (200, 410, False), (410, 200, False), (410, 403, False)],
)
async def test_a_session_that_is_gone_is_gone_for_posts_and_polls(
    posted: int, polled: int, *, is_right: bool
) -> None:
    """Whichever tells of it first, the other is asked too, so that no verdict is chance."""
    expect = {"open": {"status": 101, "protocol": None}, "frames": {"a": [{"gone": True}]}}
    opening = {"op": "open", "query": "vsn=2.0.0", "expect": expect}
    case = parse_case({"id": "gone", "steps": [opening]}).over_longpoll()
    opened = b'{"messages":[],"status":410,"token":"T"}'
    answers = [opened, b'{"status":410}', b'{"status":%d}' % posted, b'{"status":%d}' % polled]

    result = await judge(case, responses=tuple(plain(200, answer) for answer in answers))

    assert result.passed is is_right, result.explain()
