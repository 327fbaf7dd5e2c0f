"""What the client writes is what the server reads, and the other way round."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from phoenix_compat.client.serializer import SERIALIZERS
from phoenix_compat.conformance.suite.catalog import read_vectors
from phoenix_compat.errors import EncodeError, RemoteProtocolError
from phoenix_compat.protocol.message import BinaryFrame, Message
from phoenix_compat.protocol.serializer import V1, V2

VECTORS = read_vectors("data/serializer.json")
SERVER = {"1.0.0": V1, "2.0.0": V2}
SENT = [case for case in VECTORS["encode"] if not case.get("error")]
PAYLOADS: list[Any] = [{}, {"a": [1, None, "ü\n"]}, b"", b"\x00\xff", bytearray(b"x")]


def frame_of(case: Any) -> tuple[bytes, bool]:
    """The frame of a server, and whether it is binary."""
    if "b64" in case:
        return base64.b64decode(case["b64"]), True
    text = case["exact"] if "exact" in case else json.dumps(case["text"])
    return text.encode(), False


def expected(case: Any) -> Message:
    """The message in a frame of a server."""
    binary = base64.b64decode(case["bytes"]) if "bytes" in case else None
    payload = case.get("payload") if binary is None else binary
    is_v1 = case["vsn"] == "1.0.0"
    is_binary = "b64" in case
    join_ref = None if is_v1 else case.get("join_ref")
    if is_binary and case["kind"] != "broadcast":
        join_ref = "" if join_ref is None else str(join_ref)
    if case["kind"] == "reply":
        ref = case.get("ref")
        if is_binary:
            ref = "" if ref is None else str(ref)
        payload = {"status": case["status"], "response": payload}
        return Message(join_ref, ref, case["topic"], "phx_reply", payload)
    return Message(join_ref, None, case["topic"], case["event"], payload)


@pytest.mark.parametrize("case", SENT, ids=lambda case: str(case["id"]))
def test_frames_of_a_server(case: Any) -> None:
    """Each frame of the vectors is read."""
    data, is_binary = frame_of(case)

    assert SERIALIZERS[case["vsn"]].decode(data, is_binary=is_binary) == expected(case)


@pytest.mark.parametrize("payload", PAYLOADS, ids=repr)
def test_frames_for_a_server_in_v2(payload: Any) -> None:
    """The server reads the same message; bytes go out as a binary frame."""
    message = Message("1", "22", "room:ü", "new_msg", payload)

    frame = SERIALIZERS["2.0.0"].encode(message)

    is_binary = isinstance(frame, BinaryFrame)
    assert V2.decode(frame, is_binary=is_binary) == message
    assert is_binary == isinstance(payload, bytes | bytearray)


@pytest.mark.parametrize("join_ref", ["1", None])
def test_frames_for_a_server_in_v1(join_ref: str | None) -> None:
    """The server reads the same message."""
    message = Message(join_ref, "22", "room:ü", "new_msg", {"a": 1})

    assert V1.decode(SERIALIZERS["1.0.0"].encode(message), is_binary=False) == message


def test_bytes_of_a_push() -> None:
    """The layout is that of phoenix.js, binaryEncode."""
    frame = SERIALIZERS["2.0.0"].encode(Message("1", "23", "t", "eve", b"\x09"))

    assert frame == b"\x00\x01\x02\x01\x03" + b"1" + b"23" + b"t" + b"eve" + b"\x09"


def test_a_string_that_is_too_long() -> None:
    """As in phoenix.js, a string of a binary message has at most 255 bytes."""
    message = Message("1", "2", "ü" * 128, "e", b"")

    with pytest.raises(EncodeError, match="the topic of a binary message has at most 255 bytes"):
        SERIALIZERS["2.0.0"].encode(message)


@pytest.mark.parametrize("event", ["phx_close", "phx_error"])
def test_the_end_of_a_channel_in_v1(event: str) -> None:
    """Its ref is the join_ref, so that the end of an earlier join can be told apart."""
    data = json.dumps({"topic": "t", "event": event, "ref": "7", "payload": {}}).encode()

    assert SERIALIZERS["1.0.0"].decode(data, is_binary=False).join_ref == "7"


@pytest.mark.parametrize(
    ("data", "is_binary"),
    [
        (b"", False),
        (b"{}", False),
        (b"[1,2,3]", False),
        (b'["1","2","t","e",NaN]', False),
        (b"", True),
        (b"\x03abc", True),
        (b"\x00\x01", True),
        (b"\x01\x05\x05\x05\x05abc", True),
    ],
)
def test_unreadable_frames(data: bytes, is_binary: bool) -> None:
    """They raise, and nothing else happens."""
    with pytest.raises(RemoteProtocolError):
        SERIALIZERS["2.0.0"].decode(data, is_binary=is_binary)
