"""JSON by Jason's rules: refused texts, duplicate keys, and written bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.errors import EncodeError, InvalidMessageError, RemoteProtocolError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.serializer import V1, V2, Serializer
from tests.unit.protocol.strategies import json_values, steady

ANYTHING = msgspec.json.Decoder()


def v1(payload: bytes) -> bytes:
    """A V1 message with this JSON as its payload."""
    return b'{"topic":"room:a","event":"e","ref":"1","payload":' + payload + b"}"


def v2(payload: bytes) -> bytes:
    """A V2 message with this JSON as its payload."""
    return b'["1","2","room:a","e",' + payload + b"]"


BOTH = pytest.mark.parametrize(
    ("serializer", "around"), [(V1, v1), (V2, v2)], ids=["1.0.0", "2.0.0"]
)


class Pairs(list[tuple[str, Any]]):
    """A JSON object as a list of pairs, with possible duplicate keys."""


# Texts that are equal to their plain selves, but written with an escape.
KEYS = ["a", "b", ":", '"', "\\", "é", "\N{GRINNING FACE}", "a:b", '":']
keys = st.sampled_from(KEYS)
repetitive: st.SearchStrategy[Any] = st.recursive(
    st.integers(0, 9) | keys,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(keys, inner)).map(Pairs),
    max_leaves=14,
)


def written(value: Any, is_escaped: bool) -> str:
    """The JSON text of a value, with every string escaped as far as possible, or not at all."""
    if isinstance(value, Pairs):
        inner = (f"{written(k, is_escaped)}:{written(v, is_escaped)}" for k, v in value)
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item, is_escaped) for item in value) + "]"
    if isinstance(value, str) and is_escaped:
        units = value.encode("utf-16-be")
        return '"' + "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)) + '"'
    return json.dumps(value, ensure_ascii=False)


def meant(value: Any) -> Any:
    """The value that Jason reads: the first of equal keys wins."""
    if isinstance(value, Pairs):
        return {key: meant(inner) for key, inner in reversed(value)}
    return [meant(item) for item in value] if isinstance(value, list) else value


@BOTH
@pytest.mark.parametrize(
    "payload",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1E400",
        b"-1E400",
        b'"\\ud800"',
        b'"\\udc00"',
        b'"\\ud800\\ud800"',
        b'"\\ud800x"',
        b'"\x00"',
        b'"\x1f"',
        b'"\t"',
        b'"\n"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\x41"',
        b'"\\u12"',
        b"'a'",
        b"1.",
        b".5",
        b"+1",
        b"01",
        b"1e",
        b"tru",
        b"undefined",
        b"[1,]",
        b'{"a":1,}',
        b"{1:2}",
        b"/**/1",
        b"1 2",
        b"\x0c1",
        b"\xc2\xa01",
        b"",
        b"1" * 4301,
    ],
    ids=lambda payload: repr(payload[:12]) if isinstance(payload, bytes) else None,
)
def test_what_jason_refuses(serializer: Serializer, around: Any, payload: bytes) -> None:
    """JSON that Python accepts, but Jason does not, closes the connection with 1011."""
    with pytest.raises(RemoteProtocolError) as refused:
        serializer.decode(around(payload), is_binary=False)

    assert refused.value.close_code == 1011


@BOTH
@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"1e2", 100.0),
        (b"0e1", 0.0),
        (b"1e-400", 0.0),
        (b"-0", 0),
        (b"-0.0", -0.0),
        (b"18446744073709551616", 2**64),
        (b"-9223372036854775809", -(2**63) - 1),
        (b"9" * 1024, 10**1024 - 1),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"\\u0000\\/\x7f"', "\x00/\x7f"),
        (b' [ 1 ,\t{ "a" :\r\n2 } ] ', [1, {"a": 2}]),
        (b'"a:b"', "a:b"),
        (b"null", None),
    ],
    ids=lambda value: repr(value)[:16] if isinstance(value, bytes) else None,
)
def test_what_jason_reads(
    serializer: Serializer, around: Any, payload: bytes, expected: Any
) -> None:
    """Numbers keep their type and size, escapes become text, whitespace is ignored."""
    message = serializer.decode(around(payload), is_binary=False)

    assert expected == message.payload
    assert type(expected) is type(message.payload)


@BOTH
@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a":1,"a":2}', {"a": 1}),
        (b'{"a":1,"b":2,"a":3,"b":4}', {"a": 1, "b": 2}),
        (b'{"x":{"a":1,"a":2}}', {"x": {"a": 1}}),
        (b'[{"a":1,"a":2}]', [{"a": 1}]),
        (b'{"a":1,"\\u0061":2}', {"a": 1}),
        (b'{"\\u0061":1,"a":2}', {"a": 1}),
        (b'{"a":{"b":1},"a":{"b":2}}', {"a": {"b": 1}}),
    ],
)
def test_the_first_of_equal_keys_wins(
    serializer: Serializer, around: Any, payload: bytes, expected: Any
) -> None:
    """Of equal keys in one object the first is kept, however deep and however escaped."""
    message = serializer.decode(around(payload), is_binary=False)

    assert expected == message.payload


@BOTH
@given(value=repetitive, is_escaped=st.booleans())
@steady
def test_equal_keys_anywhere(
    serializer: Serializer, around: Any, value: Any, is_escaped: bool
) -> None:
    """Whatever the object, the first of equal keys is kept."""
    payload = written(value, is_escaped).encode()

    message = serializer.decode(around(payload), is_binary=False)

    assert meant(value) == message.payload


@given(topic=keys, value=repetitive, is_escaped=st.booleans())
@steady
def test_the_topic_hides_no_repeated_key(topic: str, value: Any, is_escaped: bool) -> None:
    """Colons in the topic, escaped or not, do not hide a duplicate key."""
    text = f'["1","2",{written(topic, is_escaped)},"e",{written(value, is_escaped=False)}]'

    message = V2.decode(text.encode(), is_binary=False)

    assert (topic, meant(value)) == (message.topic, message.payload)


@pytest.mark.parametrize(
    ("data", "payload", "topic", "expected"),
    [
        (b'["1","2","t","e",[1]]', [1], "t", False),
        (b'["1","2","room:a","e",{"k":1}]', {"k": 1}, "room:a", False),
        (b'["1","2","room:a","e",{}]', {}, "room:a", False),
        (b'["1","2",null,"e",{"k":1}]', {"k": 1}, None, False),
        (b'["1","2","t","e",{"k":1,"k":2}]', {"k": 2}, "t", True),
        (b'["1","2","t","e",{"k":{"j":1}}]', {"k": {"j": 1}}, "t", True),
        (b'["1","2","t","e",{"k":"\\n"}]', {"k": "\n"}, "t", True),
    ],
)
def test_a_cheap_look_for_equal_keys(data: bytes, payload: Any, topic: Any, expected: bool) -> None:
    """Flat messages without escapes cannot have duplicate keys; others are parsed again."""
    assert jason.may_repeat_keys(data, payload, topic) is expected


def test_a_byte_order_mark_is_refused() -> None:
    """A byte order mark is not JSON."""
    for text in (v1(b"{}"), v2(b"{}")):
        with pytest.raises(RemoteProtocolError, match="not JSON"):
            jason.decode(ANYTHING, b"\xef\xbb\xbf" + text)


def test_json_of_another_type_is_an_invalid_message() -> None:
    """JSON of another type is an invalid message, not invalid JSON."""
    with pytest.raises(InvalidMessageError, match="not a Phoenix message"):
        jason.decode(msgspec.json.Decoder(list[int]), b"{}")


@BOTH
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_read_or_refused(
    serializer: Serializer, around: Any, opening: bytes, closing: bytes
) -> None:
    """A message of any depth is read or refused, with no other error."""
    depths = [*range(400, 1100), 100_000]
    refused = []

    for depth in depths:
        try:
            serializer.decode(around(opening * depth + b"1" + closing * depth), is_binary=False)
        except RemoteProtocolError:
            refused.append(depth)

    assert refused == [depth for depth in depths if depth >= refused[0]]
    assert refused[0] > 400


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None, True]}, b'{"a":[1,null,true]}'),
        ("é\N{LINE SEPARATOR}<>&/\x7f", '"é\N{LINE SEPARATOR}<>&/\x7f"'.encode()),
        ('\b\t\n\f\r"\\', b'"\\b\\t\\n\\f\\r\\"\\\\"'),
        ("\x00\x0b\x1f", b'"\\u0000\\u000B\\u001F"'),
        ("\\u00ff", b'"\\\\u00ff"'),
        ("\\\x1f\\u00ff", b'"\\\\\\u001F\\\\u00ff"'),
        (1.0, b"1.0"),
        (0.1, b"0.1"),
        (-0.0, b"-0.0"),
        (123456789012345.0, b"123456789012345.0"),
        (2**100, b"1267650600228229401496703205376"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_the_bytes_of_jason(value: Any, expected: bytes) -> None:
    """JSON is written compactly, in raw UTF-8, with Jason's escapes and floats."""
    assert expected == jason.encode(value)


@pytest.mark.parametrize("value", [1e10, 1e16, 1e-7, 1.5e300, 5e-324])
def test_a_float_stays_a_float(value: float) -> None:
    """Floats with an exponent are read back as the same float."""
    read = json.loads(jason.encode(value))

    assert value == read
    assert type(read) is float


@given(json_values)
@steady
def test_what_is_written_is_read_back(value: Any) -> None:
    """Any JSON is read back unchanged, types included."""
    read = jason.decode(ANYTHING, jason.encode(value))

    assert repr(value) == repr(read)


@given(json_values)
@steady
def test_another_reader_agrees(value: Any) -> None:
    """Python's own JSON reader reads the same value."""
    assert repr(value) == repr(json.loads(jason.encode(value)))


def endless() -> list[Any]:
    """A list that contains itself."""
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [object(), {"a": object()}, "\ud800", {"\ud800": 1}, {None: 1}, {(1, 2): 3}, endless()],
    ids=["object", "inner", "surrogate", "key", "null key", "tuple key", "endless"],
)
def test_values_that_are_not_json_cannot_be_sent(value: Any) -> None:
    """A value that is not JSON is an EncodeError."""
    with pytest.raises(EncodeError, match="payload is not JSON"):
        jason.encode(value)


LONG = b"1" * 1025


@BOTH
@pytest.mark.parametrize(
    "text", [LONG, b"-" + LONG[1:], b"[0," + LONG + b"]", b'{"a":' + LONG + b"}"]
)
def test_an_integer_of_more_than_1024_characters_is_refused(
    serializer: Serializer, around: Callable[[bytes], bytes], text: bytes
) -> None:
    """B14: Jason's limit counts the sign too."""
    with pytest.raises(RemoteProtocolError, match="an integer of 1025 characters, at most 1024"):
        serializer.decode(around(text), is_binary=False)


@BOTH
@pytest.mark.parametrize(
    "text",
    [b'"' + LONG + b'"', b'{"' + LONG + b'":1}', b"0." + LONG, b"1" * 1024, LONG + b"e-1000"],
)
def test_many_digits_elsewhere_are_allowed(
    serializer: Serializer, around: Callable[[bytes], bytes], text: bytes
) -> None:
    """Texts and floats may have any number of digits."""
    assert serializer.decode(around(text), is_binary=False).event == "e"
