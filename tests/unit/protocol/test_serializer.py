"""V1 and V2 text, negotiation of the version. Numbers are those of docs/protocol.md §9.8."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.errors import EncodeError, InvalidMessageError, RemoteProtocolError
from phoenix_compat.protocol.message import BinaryFrame, Broadcast, Frame, Message
from phoenix_compat.protocol.serializer import (
    DEFAULT_SERIALIZERS,
    DEFAULT_VSN,
    V1,
    V2,
    Serializer,
    is_version,
    negotiate,
)
from tests.unit.protocol.strategies import json_values, messages, odd_places, pushes, steady

EACH = pytest.mark.parametrize("serializer", [V1, V2], ids=["1.0.0", "2.0.0"])
NO_OBJECTS = pytest.mark.parametrize("payload", ["text", 1, None, [], True])


def text(frame: Frame) -> Any:
    """The JSON of a text frame."""
    assert not isinstance(frame, BinaryFrame)
    return json.loads(frame)


# V1.


def test_a_v1_message_has_four_keys() -> None:
    """108: a V1 push has event, payload, ref and topic, and never a join_ref."""
    frame = V1.encode(Message("9", None, "t", "e", "m"))

    assert text(frame) == {"event": "e", "payload": "m", "ref": None, "topic": "t"}


def test_a_v1_reply() -> None:
    """109: a V1 reply is phx_reply with response and status, and keeps the ref."""
    frame = V1.encode_reply("9", "1", "t", "ok", {"m": 1})

    assert text(frame) == {
        "event": "phx_reply",
        "payload": {"response": {"m": 1}, "status": "ok"},
        "ref": "1",
        "topic": "t",
    }


def test_a_v1_broadcast_looks_like_a_push() -> None:
    """112: a V1 broadcast has a null ref."""
    frame = V1.fastlane(Broadcast("t", "e", [1]))

    assert text(frame) == {"event": "e", "payload": [1], "ref": None, "topic": "t"}


def test_v1_bytes_are_compact() -> None:
    """V1 text has no spaces and no escapes for what is beyond ASCII."""
    frame = V1.fastlane(Broadcast("é", "e", {"a": [1, 2]}))

    assert frame == '{"event":"e","payload":{"a":[1,2]},"ref":null,"topic":"é"}'.encode()


@pytest.mark.parametrize("is_binary", [False, True], ids=["text", "binary"])
def test_v1_reads_an_object(is_binary: bool) -> None:
    """110: a V1 message is an object, whatever the opcode; without join_ref it is null."""
    data = b'{"topic":"t","event":"e","payload":"m","ref":"1"}'

    message = V1.decode(data, is_binary=is_binary)

    assert Message(None, "1", "t", "e", "m") == message


def test_v1_honours_a_join_ref() -> None:
    """A V1 client may send a join_ref; unknown keys are ignored."""
    data = b'{"join_ref":"9","topic":"t","event":"e","payload":{},"ref":null,"more":1}'

    assert Message("9", None, "t", "e", {}) == V1.decode(data, is_binary=False)


@pytest.mark.parametrize(
    "data",
    [b"[]", b"1", b"null", b'"t"', b'["1","2","t","e",{}]'],
    ids=lambda data: data.decode(),
)
def test_v1_refuses_other_json_than_objects(data: bytes) -> None:
    """111: JSON that is not an object closes a V1 connection."""
    with pytest.raises(InvalidMessageError):
        V1.decode(data, is_binary=False)


@pytest.mark.parametrize("unread", [b"1E400", b"1" * 1_025, b"[[-1e999]]", b'{"a":1e400}'])
@pytest.mark.parametrize(
    ("serializer", "before", "after"),
    [
        (V1, b'{"topic":"t","event":"e","payload":{},"ref":"1","more":', b"}"),
        (V2, b'["1","2","t","e",{},', b"]"),
        (V2, b'["1","2","t","e",{},6,', b"]"),
    ],
)
def test_what_is_ignored_must_be_json_too(
    serializer: Serializer, before: bytes, after: bytes, unread: bytes
) -> None:
    """Phoenix reads the whole text before it looks at any of it, so a number out of range closes
    the connection wherever it is. Found beside real Phoenix."""
    assert serializer.decode(before + b"1E40" + after, is_binary=False).event == "e"

    with pytest.raises(RemoteProtocolError):
        serializer.decode(before + unread + after, is_binary=False)


@pytest.mark.parametrize("missing", ["topic", "event", "payload", "ref"])
def test_v1_needs_four_keys(missing: str) -> None:
    """74: an object without topic, event, payload or ref closes a V1 connection."""
    fields = {"topic": "t", "event": "e", "payload": {}, "ref": "1"}
    del fields[missing]

    with pytest.raises(InvalidMessageError, match=missing):
        V1.decode(json.dumps(fields).encode(), is_binary=False)


@pytest.mark.parametrize(
    "encode",
    [
        lambda: V1.encode(Message(None, None, "t", "e", b"x")),
        lambda: V1.encode_reply(None, "1", "t", "ok", b"x"),
        lambda: V1.fastlane(Broadcast("t", "e", b"x")),
    ],
    ids=["push", "reply", "broadcast"],
)
def test_v1_cannot_carry_bytes(encode: Any) -> None:
    """Binary payloads cannot be sent to a V1 client."""
    with pytest.raises(EncodeError, match="V1"):
        encode()


@given(messages)
@steady
def test_v1_reads_what_it_writes(message: Message) -> None:
    """Decoding reverses encoding, except for the join_ref."""
    read = V1.decode(V1.encode(message), is_binary=False)

    expected = Message(None, message.ref, message.topic, message.event, message.payload)
    assert repr(expected) == repr(read)


# V2 text.


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (V2.encode(Message(None, None, "t", "e", {"m": 1})), b'[null,null,"t","e",{"m":1}]'),
        (V2.encode(Message("1", None, "t", "e", {})), b'["1",null,"t","e",{}]'),
        (V2.encode(Message("1", "1", "t", "phx_close", {})), b'["1","1","t","phx_close",{}]'),
        (V2.encode(Message({"a": 1}, [2], "é", "e", {})), '[{"a":1},[2],"é","e",{}]'.encode()),
        (V2.fastlane(Broadcast("t", "e", {"m": 1})), b'[null,null,"t","e",{"m":1}]'),
    ],
)
def test_the_bytes_of_v2(frame: Frame, expected: bytes) -> None:
    """113, 117: V2 text is a compact array of five."""
    assert expected == frame
    assert not isinstance(frame, BinaryFrame)


@pytest.mark.parametrize("response", [{}, {"m": 1}, "text", [1], None, 1.5, False])
def test_a_v2_reply(response: Any) -> None:
    """115: a V2 reply has join_ref, ref and any JSON as its response."""
    frame = V2.encode_reply("1", "2", "t", "weird", response)

    assert ["1", "2", "t", "phx_reply", {"response": response, "status": "weird"}] == text(frame)


@NO_OBJECTS
def test_a_v2_push_carries_an_object(payload: Any) -> None:
    """114: a V2 push of anything but an object is refused."""
    with pytest.raises(EncodeError, match="dict or bytes"):
        V2.encode(Message(None, None, "t", "e", payload))


@NO_OBJECTS
def test_a_v2_broadcast_carries_an_object(payload: Any) -> None:
    """118: a V2 broadcast of anything but an object is refused."""
    with pytest.raises(EncodeError, match="dict or bytes"):
        V2.fastlane(Broadcast("t", "e", payload))


def test_v2_reads_an_array() -> None:
    """116: a V2 message is an array of join_ref, ref, topic, event and payload."""
    message = V2.decode(b'[null,"1","t","e",{"m":1}]', is_binary=False)

    assert Message(None, "1", "t", "e", {"m": 1}) == message


@pytest.mark.parametrize(
    "places", [[{"a": 1}, [2], 1, None, "x"], [True, False, 1.5, {}, None], [1, 2, 3, 4, 5, 6, {}]]
)
def test_v2_takes_any_json_in_any_place(places: list[Any]) -> None:
    """The types of the items are not checked; items after the fifth are ignored."""
    message = V2.decode(json.dumps(places).encode(), is_binary=False)

    assert Message(*places[:5]) == message


def test_v2_ignores_more_places_of_a_message_with_equal_keys() -> None:
    """Extra items are ignored even if there are duplicate keys."""
    data = b'["1","2","t","e",{"a":1,"a":2},{"b":1,"b":2}]'

    assert Message("1", "2", "t", "e", {"a": 1}) == V2.decode(data, is_binary=False)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"null", b"1", b'"t"', b"[]", b'["1","2","t","e"]', b'["1","2","t","e",{}]x'],
    ids=repr,
)
def test_v2_refuses_invalid_messages(data: bytes) -> None:
    """Anything but an array of at least five items closes a V2 connection with 1011."""
    with pytest.raises(RemoteProtocolError) as refused:
        V2.decode(data, is_binary=False)

    assert refused.value.close_code == 1011


@given(pushes)
@steady
def test_v2_reads_what_it_writes(message: Message) -> None:
    """Decoding reverses encoding, types included."""
    read = V2.decode(V2.encode(message), is_binary=False)

    assert repr(message) == repr(read)


@EACH
@given(reply=st.tuples(odd_places, odd_places, odd_places, st.text(), json_values))
@steady
def test_replies_survive(serializer: Serializer, reply: tuple[Any, Any, Any, str, Any]) -> None:
    """A reply arrives with its ref, topic, status and response."""
    message = serializer.decode(serializer.encode_reply(*reply), is_binary=False)

    _, ref, topic, status, response = reply
    payload = {"response": response, "status": status}
    assert repr((ref, topic, "phx_reply", payload)) == repr(
        (message.ref, message.topic, message.event, message.payload)
    )


FRAGMENTS = st.sampled_from(
    [
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b'"',
        b"\\",
        b"\\u00",
        b"1",
        b"null",
        b'"topic"',
        b"\xff",
        b'["1","2","t","e",',
        b'{"topic":"t","event":"e","ref":"1","payload":',
        b"\x00\x01",
    ]
)


@EACH
@given(
    data=st.binary(max_size=60) | st.lists(FRAGMENTS, max_size=12).map(b"".join),
    is_binary=st.booleans(),
)
@steady
def test_random_bytes_are_read_or_refused(
    serializer: Serializer, data: bytes, is_binary: bool
) -> None:
    """Any bytes are a message or a RemoteProtocolError with 1011."""
    try:
        outcome: object = type(serializer.decode(bytearray(data), is_binary=is_binary))
    except RemoteProtocolError as error:
        outcome = error.close_code

    assert outcome in {Message, 1011}


# The version.


@pytest.mark.parametrize(
    ("vsn", "expected"),
    [
        ("1.0.0", V1),
        ("1.0.5", V1),
        ("2.0.0", V2),
        ("2.0.7", V2),
        ("2.0.0+b1", V2),
        ("2.0.1-rc.1", V2),
        ("2.0.10", V2),
        ("1.1.0", None),
        ("2.1.0", None),
        ("2.10.0", None),
        ("3.0.0", None),
        ("0.0.0", None),
        ("123.1.1", None),
        ("2", None),
        ("2.0", None),
        ("2.0.0.0", None),
        ("v2.0.0", None),
        ("abc", None),
        ("", None),
        (" 2.0.0", None),
        ("2.0.0\n", None),
        ("2.0.0 b1", None),
        ("2.0.0-rc.1", None),
        ("02.0.0", None),
        ("2.0.1-0", V2),
        ("2.0.1-0a", V2),
        ("2.0.1+01", V2),
        ("2.0.1-01", None),
        ("2.0.1-a.01", None),
        ("2.0.1-a..b", None),
        ("2.0.0-", None),
        ("2.0.0+", None),
        ("２.0.0", None),  # noqa: RUF001 - a digit, but not SemVer's
        (["2.0.0"], None),
        ({"a": "2.0.0"}, None),
        (None, None),
    ],
)
def test_the_matrix_of_versions(vsn: Any, expected: Serializer | None) -> None:
    """B4, 206: a strict SemVer of 1.0.x or 2.0.x selects the serializer; others are refused."""
    assert negotiate(vsn) is expected


def test_a_client_without_a_version_uses_v1() -> None:
    """Without `vsn` the version is 1.0.0, not the newest."""
    assert negotiate(DEFAULT_VSN) is V1


def test_the_first_serializer_that_matches_is_chosen() -> None:
    """Serializers are tried in order."""
    assert negotiate("2.0.3", [(V1, "~> 2.0.0"), *DEFAULT_SERIALIZERS]) is V1
    assert negotiate("2.0.3", [(V1, "~> 2.0.4"), *DEFAULT_SERIALIZERS]) is V2


@pytest.mark.parametrize(
    ("vsn", "expected"), [("123.1.1", True), ("2.0.0-rc.1", True), ("abc", False), (None, False)]
)
def test_a_valid_version_is_distinguished_from_other_texts(vsn: Any, expected: bool) -> None:
    """A refused version may still be a valid version."""
    assert is_version(vsn) is expected


def test_serializers_are_known_by_name() -> None:
    """Their names in logs are Phoenix's."""
    assert [s.name for s, _ in DEFAULT_SERIALIZERS] == ["V1JSONSerializer", "V2JSONSerializer"]
