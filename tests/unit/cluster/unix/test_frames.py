"""The frames of the bus as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.cluster.unix.frames import (
    MAX_FRAME_BYTES,
    BrokenStreamError,
    Call,
    Cast,
    Frame,
    FrameReader,
    Hello,
    Reply,
    pack,
    unpack,
)

_numbers = st.integers(0, 2**63)
_frames = st.one_of(
    st.builds(Hello, _numbers, _numbers, _numbers, st.tuples(st.text(max_size=9))),
    st.builds(Cast, _numbers, st.text(max_size=9), st.binary(max_size=99)),
    st.builds(Call, _numbers, st.text(max_size=9), st.binary(max_size=99)),
    st.builds(Reply, _numbers, st.binary(max_size=99), st.none() | st.text(max_size=9)),
)


@given(st.lists(_frames, max_size=5), st.integers(1, 50))
def test_frames_arrive_however_the_stream_is_cut(frames: list[Frame], step: int) -> None:
    """Packed frames are read again, in order, from chunks of any size."""
    stream = b"".join(pack(frame) for frame in frames)
    reader = FrameReader(unpack)

    read = [
        frame
        for start in range(0, len(stream), step)
        for frame in reader.feed(stream[start : start + step])
    ]

    assert read == frames


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param((MAX_FRAME_BYTES + 1).to_bytes(4), id="too long"),
        pytest.param(b"\0\0\0\1\xc1", id="not MessagePack"),
        pytest.param(b"\0\0\0\2\x91\x09", id="an unknown tag"),
    ],
)
def test_invalid_frames_raise_an_error(stream: bytes) -> None:
    """Invalid bytes raise an error."""
    with pytest.raises(BrokenStreamError):
        list(FrameReader(unpack).feed(stream))
