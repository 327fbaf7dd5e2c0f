"""Unusual messages in valid frames: undecodable ones close the connection, others are accepted.

Numbers are those of docs/protocol.md; there is no error reply to a message that cannot be read.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Open
from tests.wire import OK, UNMATCHED, V1, PhoenixWire, replied

HEARTBEAT = '[null,"1","phoenix","heartbeat",{}]'
HEARTBEAT_REPLY = [None, "1", "phoenix", "phx_reply", OK]


@pytest.fixture
async def wire(reference_url: str, open_wire: Open) -> PhoenixWire:
    """A V2 websocket to the reference channel set."""
    return await open_wire(reference_url)


@pytest.fixture
async def wire_v1(reference_url: str, open_wire: Open) -> PhoenixWire:
    """A V1 websocket to the reference channel set."""
    return await open_wire(reference_url, V1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" ", id="blank"),
        pytest.param("{not json", id="no-json"),
        pytest.param('{"topic":"phoenix"}', id="object"),
        pytest.param('"text"', id="string"),
        pytest.param("null", id="null"),
        pytest.param("7", id="number"),
        pytest.param("[]", id="no-elements"),
        pytest.param('[null,"1","phoenix","heartbeat"]', id="four-elements"),
        pytest.param('[null,"1","phoenix","heartbeat",{}', id="unclosed"),
        pytest.param('[null,"1","phoenix","heartbeat",{},]', id="trailing-comma"),
        pytest.param(HEARTBEAT + "x", id="trailing-garbage"),
        pytest.param(HEARTBEAT + HEARTBEAT, id="two-messages"),
        pytest.param("\ufeff" + HEARTBEAT, id="byte-order-mark"),
        pytest.param('[null,"1","phoenix","heartbeat",{"a":NaN}]', id="nan"),
        pytest.param('[null,"1","phoenix","heartbeat",{"a":Infinity}]', id="infinity"),
        pytest.param('[null,"1","phoenix","heartbeat",{"a":1E400}]', id="float-overflow"),
        pytest.param('[null,"1","phoenix","heartbeat",{"a":"\\ud800"}]', id="lone-surrogate"),
        pytest.param('[null,"1","phoenix","heartbeat",{"a":"\x01"}]', id="raw-control-character"),
        pytest.param('[null,"1","phoenix","heartbeat",{"a":01}]', id="leading-zero"),
        pytest.param("[null,'1','phoenix','heartbeat',{}]", id="single-quotes"),
        pytest.param('[null,"1","phoenix","heartbeat",{a:1}]', id="bare-key"),
    ],
)
async def test_undecodable_text_is_1011(wire: PhoenixWire, text: str) -> None:
    """§1.9, §9.13.205, §10.41, §10.46: what Jason refuses closes with 1011, no reply before it."""
    await wire.send_text(text)

    assert await wire.recv_close() == 1011


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"  \t\r\n{HEARTBEAT}\n ", id="white-space-around"),
        pytest.param('[ null , "1" , "phoenix" , "heartbeat" , { } ]', id="white-space-within"),
        pytest.param('[null,"1","phoenix","heartbeat",{},7]', id="six-elements"),
        pytest.param('[null,"1","phoenix","heartbeat",{},[],"x",null]', id="eight-elements"),
        pytest.param('[null,"1","pho\\u0065nix","heartbeat",{}]', id="escaped-letter"),
        pytest.param('[null,"1","phoenix","heartbeat",null]', id="null-payload"),
        pytest.param('[null,"1","phoenix","heartbeat",[1,2]]', id="list-payload"),
        pytest.param('["9","1","phoenix","heartbeat",{}]', id="join-ref-in-a-heartbeat"),
        pytest.param('[null,"1","phoenix","heartbeat",{"a":"\\ud83d\\ude00"}]', id="surrogates"),
    ],
)
async def test_decodable_text_is_taken(wire: PhoenixWire, text: str) -> None:
    """§1.9, §9.13.205, §10.42: extra items and whitespace are ignored."""
    await wire.send_text(text)

    assert await wire.recv() == HEARTBEAT_REPLY


@pytest.mark.parametrize("ref", [None, "", "1", 0, 1, 1.5, True, False, [2], {"a": 1}, "é", '"'])
async def test_refs_are_echoed_as_they_came(wire: PhoenixWire, ref: Any) -> None:
    """§2.3, §9.13.203, §10.19, §10.42: a ref may be any JSON and is sent back unchanged."""
    answer = await wire.ask([None, ref, "phoenix", "heartbeat", {}])

    assert answer == [None, ref, "phoenix", "phx_reply", OK]
    assert type(answer[1]) is type(ref)


@pytest.mark.parametrize("topic", [None, 7, ["a"], {"a": 1}, "", "no colon", "ü:ñ"])
async def test_topics_are_echoed_as_they_came(wire: PhoenixWire, topic: Any) -> None:
    """§2.3: topics are not checked either; without a route they are unmatched."""
    answer = await wire.ask(["1", "2", topic, "anything", {}])

    assert answer == [None, "2", topic, "phx_reply", UNMATCHED]


async def test_of_equal_keys_the_first_counts(wire: PhoenixWire) -> None:
    """§2.1, §9.13.221, §10.46: Jason keeps the first of duplicate keys, at every level."""
    await wire.join("room:a")

    await wire.send_text('["1","2","room:a","echo",{"a":1,"b":{"c":1,"c":2},"a":2}]')

    assert (await wire.recv())[4] == replied({"a": 1, "b": {"c": 1}})


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("1", "1"),
        ("-0", "0"),
        ("1.0", "1.0"),
        ("0.1", "0.1"),
        ("-0.0", "-0.0"),
        ("1.5e-7", "1.5e-7"),
        ("1e2", "100.0"),
        ("123456789012345.0", "123456789012345.0"),
        ("18446744073709551616", "18446744073709551616"),
        ("-123456789012345678901234567890", "-123456789012345678901234567890"),
    ],
)
async def test_numbers_keep_their_kind(wire: PhoenixWire, sent: str, answered: str) -> None:
    """§2.1: integers of any size stay integers, floats stay floats."""
    await wire.join("room:a")

    await wire.send_text(f'["1","2","room:a","echo",{{"n":{sent}}}]')

    assert f'{{"n":{answered}}}' in await wire.recv_text()


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("é\u2028</script>&\x7f/", "é\u2028</script>&\x7f/"),
        ("\\u00e9\\/\\u2028", "é/\u2028"),
        ('\\"\\\\\\b\\t\\n\\f\\r', '\\"\\\\\\b\\t\\n\\f\\r'),
        ("\\u0000\\u001f\\u001B", "\\u0000\\u001F\\u001B"),
        ("\\ud83d\\ude00", "😀"),
    ],
)
async def test_strings_are_escaped_as_jason_does(
    wire: PhoenixWire, sent: str, answered: str
) -> None:
    """§2.1, §10.45: raw UTF-8 except quotes and control characters; hex digits in upper case."""
    await wire.join("room:a")

    await wire.send_text(f'["1","2","room:a","echo",{{"s":"{sent}"}}]')

    assert f'{{"s":"{answered}"}}' in await wire.recv_text()


async def test_answers_have_no_spaces(wire: PhoenixWire) -> None:
    """§2.1, §10.45: JavaPhoenixClient splits the envelope at commas, so it must be compact."""
    await wire.send_text('["1", "2", "room:a", "phx_join", {"a": [1, 2]}]')
    joined = await wire.recv_text()
    await wire.send_text('["1", "3", "room:a", "push", {"a": [1, {"b": null}]}]')
    pushed = await wire.recv_text()

    assert joined in {
        '["1","2","room:a","phx_reply",{"response":{"joined":"room:a"},"status":"ok"}]',
        '["1","2","room:a","phx_reply",{"status":"ok","response":{"joined":"room:a"}}]',
    }
    assert pushed == '["1",null,"room:a","msg",{"a":[1,{"b":null}]}]'


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEARTBEAT.encode(), id="json-in-a-binary-frame"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00", id="no-sizes"),
        pytest.param(b"\x00\x01\x01\x06", id="three-sizes"),
        pytest.param(b"\x00\x01\x01\x06\x04" + b"12room:aech", id="shorter-than-its-sizes"),
        pytest.param(b"\x01\x01\x01\x06\x04" + b"12room:aecho", id="reply"),
        pytest.param(b"\x02\x06\x04" + b"room:aecho", id="broadcast"),
        pytest.param(b"\x03\x01\x01\x06\x04" + b"12room:aecho", id="unknown-kind"),
        pytest.param(b"\x00\x01\x01\x02\x01" + b"12\xff\xfee", id="unmatched-topic-not-utf-8"),
    ],
)
async def test_undecodable_binary_is_1011(wire: PhoenixWire, data: bytes) -> None:
    """§1.9, §2.4: a V2 binary frame must be a push, and its topic must be UTF-8."""
    await wire.send_binary(data)

    assert await wire.recv_close() == 1011


async def test_a_binary_heartbeat_is_a_heartbeat(wire: PhoenixWire) -> None:
    """§2.4, §10.50: any event may be binary; the form of the reply depends on its own payload."""
    await wire.send_binary(b"\x00\x00\x01\x07\x09" + b"1phoenixheartbeat")

    assert await wire.recv() == HEARTBEAT_REPLY


async def test_a_binary_join_is_a_join(wire: PhoenixWire) -> None:
    """§2.4: phx_join may carry bytes."""
    await wire.send_binary(b"\x00\x01\x01\x06\x08" + b"12room:aphx_join" + b"\xff")

    assert await wire.recv() == ["1", "2", "room:a", "phx_reply", replied({"joined": "room:a"})]


async def test_an_empty_binary_join_ref_is_stale(wire: PhoenixWire) -> None:
    """§2.4, §10.49: a size of zero is the empty string, not null, so the message is dropped."""
    await wire.join("room:a")

    await wire.send_binary(b"\x00\x00\x01\x06\x03" + b"2room:abin" + b"\xff")

    assert (await wire.ask(["1", "3", "room:a", "echo", {}]))[1] == "3"


async def test_sizes_count_bytes_of_utf_8(wire: PhoenixWire) -> None:
    """§2.4: the sizes of the binary format are in bytes."""
    topic = "room:é"
    await wire.join(topic)

    await wire.send_binary(b"\x00\x01\x01\x07\x03" + f"12{topic}bin".encode() + b"\xff")

    answer = await wire.recv_binary()
    assert answer == b"\x01\x01\x01\x07\x02" + f"12{topic}ok".encode() + b"\xff"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('["1","1","room:a","phx_join",{}]', id="array"),
        pytest.param('"text"', id="string"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="no-keys"),
        pytest.param('{"event":"heartbeat","payload":{},"ref":"1"}', id="no-topic"),
        pytest.param('{"topic":"phoenix","payload":{},"ref":"1"}', id="no-event"),
        pytest.param('{"topic":"phoenix","event":"heartbeat","ref":"1"}', id="no-payload"),
        pytest.param('{"topic":"phoenix","event":"heartbeat","payload":{}}', id="no-ref"),
    ],
)
async def test_a_v1_message_is_an_object_of_four_keys(wire_v1: PhoenixWire, text: str) -> None:
    """§1.9, §2.2: anything else, or a missing key, is 1011."""
    await wire_v1.send_text(text)

    assert await wire_v1.recv_close() == 1011


async def test_v1_ignores_further_keys(wire_v1: PhoenixWire) -> None:
    """§2.2: null values and unknown keys are harmless."""
    await wire_v1.send_text(
        '{"x":1,"topic":"phoenix","event":"heartbeat","payload":null,"ref":null,"join_ref":null}'
    )

    answer = await wire_v1.recv()
    assert answer == {"event": "phx_reply", "payload": OK, "ref": None, "topic": "phoenix"}


async def test_v1_ignores_the_opcode(wire_v1: PhoenixWire) -> None:
    """§1.9: JSON in a binary frame is read as JSON, and the reply is text."""
    await wire_v1.send_binary(b'{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}')

    answer = await wire_v1.recv()
    assert answer == {"event": "phx_reply", "payload": OK, "ref": "1", "topic": "phoenix"}


async def test_v1_honours_a_join_ref(wire_v1: PhoenixWire) -> None:
    """§2.2, §10.44: join_ref decides what is stale, and is never sent back."""
    join = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1", "join_ref": "9"}
    echo = {"topic": "room:a", "event": "echo", "payload": {}, "ref": "2"}

    joined = await wire_v1.ask(join)
    await wire_v1.send({**echo, "join_ref": "8"})
    current = await wire_v1.ask({**echo, "ref": "3", "join_ref": "9"})
    crashed = await wire_v1.ask({**echo, "event": "crash"})

    assert joined.keys() == {"event", "payload", "ref", "topic"}
    assert current == {"event": "phx_reply", "payload": OK, "ref": "3", "topic": "room:a"}
    assert crashed == {
        "event": "phx_error",
        "payload": {"reason": "channel_crash"},
        "ref": "9",
        "topic": "room:a",
    }


@pytest.mark.parametrize("payload", ["text", 7, [1, 2], None, True])
async def test_v1_pushes_any_json(wire_v1: PhoenixWire, payload: Any) -> None:
    """§2.2: the payload of a V1 push need not be an object."""
    await wire_v1.ask({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"})
    push = {"topic": "room:a", "event": "push", "payload": payload, "ref": "2"}

    pushed = await wire_v1.ask(push)

    assert pushed == {"event": "msg", "payload": payload, "ref": None, "topic": "room:a"}


@pytest.mark.parametrize("event", ["push_binary", "reply_binary"])
async def test_v1_cannot_carry_bytes(wire_v1: PhoenixWire, event: str) -> None:
    """§2.2: bytes for a V1 client crash the channel that sends them."""
    await wire_v1.ask({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"})

    answer = await wire_v1.ask({"topic": "room:a", "event": event, "payload": {}, "ref": "2"})

    assert (answer["event"], answer["payload"]) == ("phx_error", {"reason": "channel_crash"})
