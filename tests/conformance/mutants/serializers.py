"""Mistakes in encoding and decoding messages."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from phoenix_compat.conformance.suite.cases import Case
from phoenix_compat.errors import InvalidMessageError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import BinaryFrame, Broadcast, Frame, Message
from phoenix_compat.protocol.serializer import V1JSONSerializer, V2JSONSerializer
from tests.conformance.mutants import mutant

decode_v2 = V2JSONSerializer.decode
encode_v1 = V1JSONSerializer.encode
encode_v1_reply = V1JSONSerializer.encode_reply
encode_v2 = V2JSONSerializer.encode
encode_v2_reply = V2JSONSerializer.encode_reply
encode_v2_broadcast = V2JSONSerializer.fastlane


@mutant(
    42,
    fails=[
        "join/refs",
        "join/false-join-ref",
        "heartbeat/refs",
        "message/stale/type",
        "binary/refs",
    ],
)
def refs_become_strings(patch: pytest.MonkeyPatch) -> None:
    """Integer refs are echoed as strings."""

    def text(ref: Any) -> Any:
        return ref if ref is None or isinstance(ref, str) else json.dumps(ref)

    def decode(self: V2JSONSerializer, data: bytes, *, is_binary: bool) -> Message:
        message = decode_v2(self, data, is_binary=is_binary)
        return Message(
            text(message.join_ref), text(message.ref), message.topic, message.event, message.payload
        )

    patch.setattr(V2JSONSerializer, "decode", decode)


@mutant(42, fails=["frame/text/six-elements"])
def arrays_must_have_five_elements(patch: pytest.MonkeyPatch) -> None:
    """A sixth element is an error."""

    def decode(self: V2JSONSerializer, data: bytes, *, is_binary: bool) -> Message:
        message = decode_v2(self, data, is_binary=is_binary)
        if not is_binary and len(json.loads(data)) != 5:
            raise InvalidMessageError("five elements expected")
        return message

    patch.setattr(V2JSONSerializer, "decode", decode)


@mutant(
    43,
    fails=[
        "message/payload/list",
        "heartbeat/payload",
        "join/payload/any-json",
        "message/payload/null",
        "message/payload/string",
        "message/push/no-object",
        "message/broadcast-from/alone",
    ],
)
def payloads_must_be_objects(patch: pytest.MonkeyPatch) -> None:
    """A payload that is not an object closes the socket."""

    def decode(self: V2JSONSerializer, data: bytes, *, is_binary: bool) -> Message:
        message = decode_v2(self, data, is_binary=is_binary)
        if not isinstance(message.payload, dict | bytes):
            raise InvalidMessageError("object expected")
        return message

    patch.setattr(V2JSONSerializer, "decode", decode)


@mutant(
    44,
    fails=[
        "join/ok/v1",
        "connect/vsn/absent-is-v1",
        "join/ok/v1-join-ref",
        "join/order/reply-before-push-v1",
        "heartbeat/v1",
        "message/reply/ok-v1",
        "message/push/v1",
        "broadcast/mixed-versions",
        "leave/order-v1",
        "connect/vsn/1.0.5",
        "message/push/no-object-v1",
        "binary/v1",
        "end/crash/v1",
    ],
)
def v1_carries_a_join_ref(patch: pytest.MonkeyPatch) -> None:
    """V1 pushes and replies have the key join_ref."""

    def with_join_ref(frame: Frame, join_ref: Any) -> Frame:
        return jason.encode({**json.loads(frame), "join_ref": join_ref})

    patch.setattr(
        V1JSONSerializer,
        "encode",
        lambda self, message: with_join_ref(encode_v1(self, message), message.join_ref),
    )
    patch.setattr(
        V1JSONSerializer,
        "encode_reply",
        lambda self, join_ref, *reply: with_join_ref(
            encode_v1_reply(self, join_ref, *reply), join_ref
        ),
    )


@mutant(45, fails=["message/exact"])
def json_has_spaces_and_escapes(patch: pytest.MonkeyPatch) -> None:
    """JSON is encoded as by Python's json.dumps."""
    encode = jason.encode

    def spacious(value: Any) -> bytes:
        encode(value)
        return json.dumps(msgspec.to_builtins(value)).encode()

    patch.setattr(jason, "encode", spacious)


@mutant(
    46,
    fails=[
        "frame/text/first-key-wins",
        "frame/undecodable/nan",
        "frame/undecodable/overflow",
        "frame/undecodable/lone-surrogate",
        "frame/undecodable/after-fields",
        "frame/undecodable/long-integer",
    ],
)
def json_is_read_leniently(patch: pytest.MonkeyPatch) -> None:
    """JSON is decoded as by Python's json.loads."""

    def decode(self: V2JSONSerializer, data: bytes, *, is_binary: bool) -> Message:
        if is_binary:
            return decode_v2(self, data, is_binary=is_binary)
        try:
            array = json.loads(data.decode())
            return Message(*array[:5])
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidMessageError(str(error)) from error

    patch.setattr(V2JSONSerializer, "decode", decode)


@mutant(47, fails=["binary/push", "binary/refs"])
def binary_pushes_have_a_ref(patch: pytest.MonkeyPatch) -> None:
    """A binary push of the server has four sizes, like one of a client."""

    def encode(self: V2JSONSerializer, message: Message) -> Frame:
        frame = encode_v2(self, message)
        if not isinstance(frame, BinaryFrame):
            return frame
        return BinaryFrame(frame[:2] + b"\x00" + frame[2:])

    patch.setattr(V2JSONSerializer, "encode", encode)


@mutant(48, fails=["binary/broadcast"])
def binary_broadcasts_have_a_join_ref(patch: pytest.MonkeyPatch) -> None:
    """A binary broadcast has three sizes."""

    def fastlane(self: V2JSONSerializer, broadcast: Broadcast) -> Frame:
        frame = encode_v2_broadcast(self, broadcast)
        if not isinstance(frame, BinaryFrame):
            return frame
        return BinaryFrame(frame[:1] + b"\x00" + frame[1:])

    patch.setattr(V2JSONSerializer, "fastlane", fastlane)


@mutant(49, fails=["binary/stale/empty-join-ref"])
def an_empty_binary_join_ref_is_null(patch: pytest.MonkeyPatch) -> None:
    """Empty strings of a binary push are read as null."""

    def decode(self: V2JSONSerializer, data: bytes, *, is_binary: bool) -> Message:
        message = decode_v2(self, data, is_binary=is_binary)
        if not is_binary:
            return message
        return Message(message.join_ref or None, *msgspec.structs.astuple(message)[1:])

    patch.setattr(V2JSONSerializer, "decode", decode)


@mutant(
    51,
    fails=["binary/reply", "binary/sizes", "binary/refs"],
)
def bytes_are_sent_as_base64_text(patch: pytest.MonkeyPatch) -> None:
    """A binary reply is a text frame."""

    def encode_reply(self: V2JSONSerializer, *reply: Any) -> Frame:
        frame = encode_v2_reply(self, *reply)
        return base64.b64encode(frame) if isinstance(frame, BinaryFrame) else frame

    patch.setattr(V2JSONSerializer, "encode_reply", encode_reply)


def wants_a_join_ref_in_a_reply(case: Case) -> bool:
    """Whether the case expects a V2 reply with a join_ref."""

    def is_reply(value: Any) -> bool:
        if isinstance(value, list):
            has_join_ref = len(value) == 5 and value[3] == "phx_reply" and value[0] is not None
            return has_join_ref or any(map(is_reply, value))
        if not isinstance(value, dict):
            return False
        return str(value.get("b64", "")).startswith("AQ") or any(map(is_reply, value.values()))

    return any(is_reply(step.wanted) for step in case.steps)


@mutant(fails=wants_a_join_ref_in_a_reply)
def replies_have_no_join_ref(patch: pytest.MonkeyPatch) -> None:
    """The join_ref of V2 replies is null."""

    def encode_reply(self: V2JSONSerializer, join_ref: Any, *reply: Any) -> Frame:
        return encode_v2_reply(self, None, *reply)

    patch.setattr(V2JSONSerializer, "encode_reply", encode_reply)
