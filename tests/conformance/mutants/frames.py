"""Mistakes in reading websocket frames, and messages whose refs, keys or numbers are odd."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Socket
from phoenix_compat.conformance import reference
from phoenix_compat.errors import EncodeError, RemoteProtocolError
from phoenix_compat.presence import InvalidPresenceError
from phoenix_compat.presence.tracker import Tracker
from phoenix_compat.protocol import jason, serializer
from phoenix_compat.protocol.frame import PING, Assembler, RawFrame, close_answer, read_frame
from phoenix_compat.protocol.serializer import V2JSONSerializer
from phoenix_compat.runtime.sending.topic_fanout import TopicFanout
from phoenix_compat.transports.aiohttp import connection
from tests.conformance.mutants import mutant


@mutant(
    fails=[
        "frame/fragment/joined",
        "frame/fragment/ping-between",
        "frame/invalid/continuation",
        "frame/invalid/new-message-inside",
    ]
)
def fragments_are_messages(patch: pytest.MonkeyPatch) -> None:
    """Each fragment counts as a message."""

    def add(self: Assembler, frame: RawFrame) -> Any:
        del self
        return frame.opcode or 1, frame.payload

    patch.setattr(Assembler, "add", add)


@mutant(fails=["frame/fragment/ping-between"])
def nothing_may_come_between_fragments(patch: pytest.MonkeyPatch) -> None:
    """A ping inside a message is a protocol error."""
    add = Assembler.add
    is_inside = False

    def reading(*arguments: Any) -> RawFrame | None:
        frame = read_frame(*arguments)
        if is_inside and frame is not None and frame.opcode == PING:
            raise RemoteProtocolError("a ping between fragments", 1002)
        return frame

    def adding(self: Assembler, frame: RawFrame) -> Any:
        nonlocal is_inside
        is_inside = not frame.is_final
        return add(self, frame)

    patch.setattr(connection, "read_frame", reading)
    patch.setattr(Assembler, "add", adding)


@mutant(
    fails=[
        "frame/invalid/not-masked",
        "frame/invalid/opcode",
        "frame/invalid/rsv",
        "frame/invalid/continuation",
        "frame/invalid/new-message-inside",
        "frame/invalid/long-ping",
        "frame/invalid/fragmented-ping",
        "frame/close/one-byte",
        "frame/close/reserved-code",
        "frame/close/reason-not-utf8",
    ]
)
def what_is_wrong_with_a_frame_is_1007(patch: pytest.MonkeyPatch) -> None:
    """Every frame that violates RFC 6455 is closed as if its text were invalid."""
    patch.setattr("phoenix_compat.protocol.frame.CLOSE_PROTOCOL_ERROR", 1007)


@mutant(fails=["frame/invalid/text-not-utf8"])
def text_that_is_not_utf8_is_1002(patch: pytest.MonkeyPatch) -> None:
    """Text that is not UTF-8 is closed as a protocol error."""
    patch.setattr(connection, "CLOSE_INVALID_PAYLOAD", 1002)


@mutant(
    fails=[
        "frame/close/echo",
        "frame/close/one-byte",
        "frame/close/reserved-code",
        "frame/close/reason-not-utf8",
    ]
)
def close_codes_are_echoed(patch: pytest.MonkeyPatch) -> None:
    """A close frame is answered with its own code, whatever it is."""
    patch.setattr(
        connection,
        "close_answer",
        lambda payload: int.from_bytes(payload[:2], "big") if payload else 1000,
    )


@mutant(fails=["frame/close/empty"])
def a_close_needs_a_code(patch: pytest.MonkeyPatch) -> None:
    """A close frame without a code is invalid."""
    patch.setattr(
        connection, "close_answer", lambda payload: close_answer(payload) if payload else 1002
    )


@mutant(fails=["frame/text/long-integer"])
def integers_have_a_hundred_digits(patch: pytest.MonkeyPatch) -> None:
    """Longer integers are refused."""
    patch.setattr(jason, "MAX_INTEGER_CHARS", 100)
    patch.setattr(jason, "_TOO_MANY_DIGITS", b"0" * 101)


@mutant(fails=["frame/undecodable/control-character"])
def strings_may_have_control_characters(patch: pytest.MonkeyPatch) -> None:
    """A raw control character is read as if it were escaped."""
    decode = V2JSONSerializer.decode

    def lenient(self: V2JSONSerializer, data: Any, *, is_binary: bool) -> Any:
        data = data if is_binary else bytearray(bytes(data).replace(b"\t", b" "))
        return decode(self, data, is_binary=is_binary)

    patch.setattr(V2JSONSerializer, "decode", lenient)


@mutant(fails=["frame/undecodable/long-integer"])
def integers_have_any_length(patch: pytest.MonkeyPatch) -> None:
    """Integers may be as long as Python allows."""
    patch.setattr(jason, "MAX_INTEGER_CHARS", 4_000)


@mutant(fails=["frame/undecodable/after-fields"])
def what_follows_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    """Elements after the fifth may have numbers that Jason refuses."""
    longer = V2JSONSerializer._decode_longer

    def lenient(self: V2JSONSerializer, data: Any, refusal: RemoteProtocolError) -> Any:
        return longer(self, bytes(data).replace(b"},1E400]", b"},1]"), refusal)

    patch.setattr(V2JSONSerializer, "_decode_longer", lenient)


@mutant(fails=["binary/refs/any-json"])
def binary_refs_must_be_text(patch: pytest.MonkeyPatch) -> None:
    """A ref that is not a string cannot be written into a binary frame."""

    def strict(value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value or ""
        raise EncodeError(f"{value!r} is not a string")

    patch.setattr(serializer, "elixir_text", strict)


@mutant(fails=["join/false-join-ref"])
def false_is_a_join_ref(patch: pytest.MonkeyPatch) -> None:
    """Only null is replaced by the ref."""
    for_channel = Socket.for_channel

    def keeping(self: Socket, server: Any, topic: str, join_ref: Any, *rest: Any) -> Socket:
        own = False if server.join_ref is False else join_ref
        return for_channel(self, server, topic, own, *rest)

    patch.setattr(Socket, "for_channel", keeping)


@mutant(fails=["message/broadcast-from/alone"])
def broadcasts_to_nobody_are_encoded(patch: pytest.MonkeyPatch) -> None:
    """A broadcast is encoded even if only its sender is on the topic."""
    patch.setattr(TopicFanout, "is_only", lambda _self, _outbox: False)


@mutant(fails=["presence/key/empty"])
def an_empty_key_is_none(patch: pytest.MonkeyPatch) -> None:
    """A user without a name counts as none."""
    name_of = reference._name_of
    patch.setattr(
        reference, "_name_of", lambda payload: None if (n := name_of(payload)) == "" else n
    )


@mutant(fails=["presence/key/integer"])
def keys_must_be_strings(patch: pytest.MonkeyPatch) -> None:
    """A key that is an integer is refused."""
    track = Tracker.track

    def strict(self: Tracker, owner: Any, key: Any, *arguments: Any) -> str:
        if not isinstance(key, str):
            raise InvalidPresenceError(f"{key!r} is not a string")
        return track(self, owner, key, *arguments)

    patch.setattr(Tracker, "track", strict)
