"""The code of this package passes the vectors that need no server."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from phoenix_compat.conformance.suite.catalog import read_vectors
from phoenix_compat.conformance.suite.presence_state import PresenceState
from phoenix_compat.conformance.suite.reasons import matches
from phoenix_compat.errors import EncodeError, RemoteProtocolError
from phoenix_compat.protocol.handshake import (
    offered_subprotocols,
    select_subprotocol,
    take_auth_token,
)
from phoenix_compat.protocol.message import BinaryFrame, Broadcast, Frame, Message
from phoenix_compat.protocol.origin import is_origin_allowed, parse_check_origin, parse_origin
from phoenix_compat.protocol.query import BadQueryError, decode_query
from phoenix_compat.protocol.serializer import DEFAULT_VSN, V1, V2, Serializer, negotiate
from phoenix_compat.protocol.token import TokenError, derive_key, verify

Case = dict[str, Any]
SERIALIZERS: dict[str, Serializer] = {"1.0.0": V1, "2.0.0": V2}
REALLY_OLD_MS = 1_900_000_000_000


def vectors(kind: str, group: str = "cases") -> pytest.MarkDecorator:
    """Parametrize a test with the vectors of a file."""
    cases = read_vectors(f"data/{kind}.json")[group]
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in cases])


def payload_of(case: Case) -> Any:
    """The payload of a vector: JSON or bytes."""
    return base64.b64decode(case["bytes"]) if "bytes" in case else case["payload"]


def encode(case: Case) -> Frame:
    """Encode a vector with our serializer."""
    serializer, topic, payload = SERIALIZERS[case["vsn"]], case["topic"], payload_of(case)
    if case["kind"] == "push":
        return serializer.encode(Message(case["join_ref"], None, topic, case["event"], payload))
    if case["kind"] == "broadcast":
        return serializer.fastlane(Broadcast(topic, case["event"], payload))
    return serializer.encode_reply(case["join_ref"], case["ref"], topic, case["status"], payload)


@vectors("serializer", "encode")
def test_messages_are_encoded(case: Case) -> None:
    """A message is encoded to the vector's frame, or raises."""
    if "error" in case:
        with pytest.raises(EncodeError):
            encode(case)
        return

    frame = encode(case)

    assert isinstance(frame, BinaryFrame) == ("b64" in case)
    if "b64" in case:
        assert base64.b64encode(frame).decode() == case["b64"]
    elif "exact" in case:
        assert frame.decode() == case["exact"]
    else:
        assert matches(case["text"], json.loads(frame))


@vectors("serializer", "decode")
def test_frames_are_decoded(case: Case) -> None:
    """A frame is decoded to the vector's message, or raises with close code 1011."""
    is_binary = "b64" in case
    data = base64.b64decode(case["b64"]) if is_binary else case["text"].encode()
    if "error" in case:
        with pytest.raises(RemoteProtocolError) as caught:
            SERIALIZERS[case["vsn"]].decode(data, is_binary=is_binary)
        assert caught.value.close_code == 1011
        return

    message = SERIALIZERS[case["vsn"]].decode(data, is_binary=is_binary)

    wanted = case["message"]
    fields = [wanted[name] for name in ("join_ref", "ref", "topic", "event")]
    got = [message.join_ref, message.ref, message.topic, message.event, message.payload]
    assert matches([*fields, payload_of(wanted)], got)


@vectors("vsn")
def test_versions_are_negotiated(case: Case) -> None:
    """A vsn selects a serializer, or is refused."""
    serializer = negotiate(case.get("vsn", DEFAULT_VSN))

    wanted = None if case["speaks"] is None else SERIALIZERS[case["speaks"]]
    assert serializer is wanted


@vectors("origins")
def test_origins_are_checked(case: Case) -> None:
    """An origin is allowed or refused."""
    allowed = is_origin_allowed(
        case["origin"],
        parse_check_origin(case["check_origin"]),
        url_host=case["url_host"],
        conn=parse_origin(case["request"]),
    )

    assert allowed is case["allowed"]


@vectors("auth_tokens")
def test_subprotocols_and_tokens_are_parsed(case: Case) -> None:
    """The offered subprotocols give the right response and token."""
    header, supported, token = case["header"], case["subprotocols"], None
    if case["status"] == 500:
        with pytest.raises(ValueError, match=r"."):
            take_auth_token(header)
        return
    if case["auth_token"]:
        header, token = take_auth_token(header)
        supported = ["phoenix", *(supported or ())]

    is_fine, protocol = select_subprotocol(offered_subprotocols(header), supported)

    assert (101 if is_fine else 403, protocol, token) == (
        case["status"],
        case["protocol"],
        case["token"],
    )


@vectors("queries")
def test_queries_are_parsed(case: Case) -> None:
    """A query is parsed to params, or refused."""
    if "error" in case:
        with pytest.raises(BadQueryError):
            decode_query(case["query"])
        return

    assert decode_query(case["query"]) == case["params"]


@vectors("presence")
def test_presence_messages_are_merged(case: Case) -> None:
    """After the states and diffs, the presences are those of the vector."""
    state = PresenceState()
    for step in case["steps"]:
        if step["event"] == "rejoined":
            state.rejoined()
        elif step["event"] == "presence_state":
            state.take_state(step["payload"])
        else:
            state.take_diff(step["payload"])

    assert state.presences == case["presences"]


def key() -> bytes:
    """The key of the tokens in the vectors."""
    document = read_vectors("data/tokens.json")
    return derive_key(document["secret_key_base"], document["salt"])


@vectors("tokens", "tokens")
def test_tokens_of_phoenix_are_verified(case: Case) -> None:
    """A token that Phoenix signed verifies to its data."""
    data = verify(case["token"], key(), now_ms=REALLY_OLD_MS, max_age_s=float("inf"))

    assert json.loads(json.dumps(data)) == case["data"]


@vectors("tokens", "refused")
def test_other_tokens_are_refused(case: Case) -> None:
    """A token that was tampered with is refused."""
    with pytest.raises(TokenError):
        verify(case["token"], key(), now_ms=REALLY_OLD_MS, max_age_s=float("inf"))
