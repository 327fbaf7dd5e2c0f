"""Frames of the other version: the error says which `vsn` the client must send."""

from __future__ import annotations

import pytest

from phoenix_compat.errors import InvalidMessageError, WrongVersionError
from phoenix_compat.protocol.serializer import V1, V2, Serializer

ARRAY = b'["1", "2", "t", "e", {}]'
OBJECT = b'{"topic": "t", "event": "e", "payload": {}, "ref": "2"}'


@pytest.mark.parametrize(
    ("serializer", "frame", "sentence"),
    [
        (V1, ARRAY, "the client sends V2 frames; set vsn to '2.0.0' there"),
        (V2, OBJECT, "the client sends V1 frames; set vsn to '1.0.0' there"),
    ],
)
@pytest.mark.parametrize("indent", [0, 1, 63])
def test_a_frame_of_the_other_version(
    serializer: Serializer, frame: bytes, sentence: str, indent: int
) -> None:
    """Phoenix closes with 1011 too, and does not say why."""
    with pytest.raises(WrongVersionError, match=sentence) as caught:
        serializer.decode(b" " * indent + frame, is_binary=False)

    assert caught.value.close_code == 1011


@pytest.mark.parametrize(
    ("serializer", "frame"),
    [(V1, b"5"), (V2, b"5"), (V1, b" " * 64 + ARRAY), (V2, b" " * 64 + OBJECT)],
)
def test_a_frame_of_no_version(serializer: Serializer, frame: bytes) -> None:
    """Other JSON is only called wrong; only the first 64 bytes are looked at."""
    with pytest.raises(InvalidMessageError, match="not a Phoenix message") as caught:
        serializer.decode(frame, is_binary=False)

    assert not isinstance(caught.value, WrongVersionError)
