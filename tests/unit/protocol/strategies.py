"""Hypothesis strategies for messages, and the binary format from the client's side."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from phoenix_compat.protocol.message import Message

steady = settings(derandomize=True, deadline=None, max_examples=100)
"""The same examples in every run, however slow the machine."""

json_scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(max_size=6), json_values, max_size=5)

odd_places = json_scalars | st.lists(json_scalars, max_size=2)
messages = st.builds(Message, odd_places, odd_places, odd_places, odd_places, json_values)
"""Any JSON in every place, as a V1 client may send and a V1 server may push."""

pushes = st.builds(Message, odd_places, odd_places, odd_places, odd_places, json_objects)
"""What a V2 server may push as text: the payload is an object."""

short_texts = st.text(max_size=60)  # at most 240 bytes, so that it fits a binary header
binary_pushes = st.builds(
    Message, short_texts, short_texts, short_texts, short_texts, st.binary(max_size=40)
)
"""What a V2 client may send as a binary frame."""


def client_push(message: Message) -> bytes:
    """The binary frame of a V2 client, by the protocol's format."""
    fields = (message.join_ref, message.ref, message.topic, message.event)
    strings = [field.encode() for field in fields]
    sizes = bytes(len(string) for string in strings)
    return b"".join((b"\x00", sizes, *strings, message.payload))


def read_binary(data: bytes, fields: int) -> tuple[int, list[str], bytes]:
    """Kind, strings and payload of a server's binary frame with `fields` strings."""
    kind, sizes = data[0], data[1 : 1 + fields]
    strings = []
    start = 1 + fields
    for size in sizes:
        strings.append(data[start : start + size].decode())
        start += size
    return kind, strings, data[start:]
