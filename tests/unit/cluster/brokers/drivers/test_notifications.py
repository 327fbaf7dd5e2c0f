"""How messages become texts for NOTIFY."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.cluster.brokers.drivers.notifications import (
    MAX_CHANNEL_BYTES,
    MAX_INLINE_BYTES,
    InvalidNotificationError,
    batch_text,
    channel_of,
    is_inline,
    read_text,
    reference_text,
    split_into_batches,
)

_LONGEST_TEXT = 7_900
_sizes = st.one_of(
    st.integers(0, 300),
    st.integers(MAX_INLINE_BYTES - 20, MAX_INLINE_BYTES + 20),
    st.integers(30_000, 70_000),
)


@given(st.lists(_sizes, max_size=60), st.integers(0, 2**40))
def test_messages_of_any_size_come_back_in_order(sizes: list[int], counter: int) -> None:
    """No text is longer than PostgreSQL takes; what does not fit into one is alone."""
    messages = [bytes([index % 256]) * size for index, size in enumerate(sizes)]

    received = []
    for batch in split_into_batches(messages):
        if is_inline(batch[0]):
            text = batch_text(counter, batch)
            assert len(text.encode()) <= _LONGEST_TEXT
            read = read_text(text)
            assert isinstance(read, list)
            received += read
        else:
            received += batch
            assert len(batch) == 1

    assert received == messages


def test_small_messages_share_a_text() -> None:
    """A burst costs a text for each 5.9 kB and not for each message."""
    batches = list(split_into_batches([bytes(95)] * 580))

    assert [len(batch) for batch in batches] == [58] * 10


def test_a_reference_comes_back() -> None:
    """A text may name a message that is kept elsewhere."""
    assert read_text(reference_text(7, 2**62)) == 2**62


@pytest.mark.parametrize("text", ["", "b", "b1:?", "b1:gA", "r1:x", "hello", "b1:wQ=="])
def test_other_texts_are_refused(text: str) -> None:
    """Anybody who may use the database can send a notification."""
    with pytest.raises(InvalidNotificationError):
        read_text(text)


def test_every_subject_has_a_channel_of_its_own() -> None:
    """A long one too: PostgreSQL would cut its name."""
    subjects = ["chat.all", "x" * 63, "x" * 64, "x" * 65]

    channels = {channel_of(subject) for subject in subjects}

    assert len(channels) == len(subjects)
    assert all(len(channel) <= MAX_CHANNEL_BYTES for channel in channels)
    assert channel_of("chat.all") == "chat.all"
