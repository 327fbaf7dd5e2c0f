"""The tracker: refs, and what it stores.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import base64
import contextlib
import re
from typing import Any

import pytest

from phoenix_compat.errors import EncodeError
from phoenix_compat.presence import Guest
from phoenix_compat.presence.tracker import Refs, Tracker
from phoenix_compat.protocol import jason
from tests.unit.presence.presence_harness import TOPIC


def test_a_ref_is_time_node_and_count() -> None:
    """§6.1: 12 bytes as 16 characters of URL-safe base64, in the order of time."""
    refs = Refs(iter([0x1122334455667788, 2**64 - 1]).__next__, 0xABCD)

    first, second = refs.next(), refs.next()

    assert base64.urlsafe_b64decode(first).hex() == "1122334455667788abcd0001"
    assert base64.urlsafe_b64decode(second).hex() == "ffffffffffffffffabcd0002"
    assert re.fullmatch(r"[\w-]{16}", second)


def test_the_number_of_a_node_may_be_long() -> None:
    """Nodes on many machines have numbers of 48 bits; the last 16 are in the ref."""
    ref = Refs(lambda: 1, 0x123456799ABC).next()

    assert base64.urlsafe_b64decode(ref).hex() == "00000000000000019abc0001"


def test_refs_of_one_moment_differ() -> None:
    """Refs differ even if the clock stands still, up to the number of counter values."""
    refs = Refs(lambda: 1, 0)

    assert len({refs.next() for _ in range(2**16)}) == 2**16


def test_a_meta_that_cannot_be_sent_is_not_stored() -> None:
    """It is told inside of messages: one nested nearly as deep as can be written would break the
    joins of all others."""
    tracker = Tracker(Refs(lambda: 1, 0), lambda: None)
    deepest: list[dict[str, Any]] = [{}]
    with contextlib.suppress(EncodeError):
        while True:  # as deep as this Python can write it
            deepest.append({"a": deepest[-1]})
            jason.encode(deepest[-1])
    meta = deepest[-50]

    with Guest(TOPIC) as guest:
        with pytest.raises(EncodeError):
            tracker.track(guest, "deep", meta, None)
        tracker.track(guest, "flat", {}, None)

        assert len(tracker.changes) == 1


def test_ended_owners_leave_nothing_behind() -> None:
    """A thousand owners that tracked and ended leave nothing behind."""
    tracker = Tracker(Refs(lambda: 1, 0), lambda: None)

    for number in range(1_000):
        with Guest(TOPIC) as guest:
            tracker.track(guest, number, {}, None)
            tracker.track(guest, "same", {}, "room:b")
            tracker.untrack(guest, number, None)
            tracker.changes.clear()

    assert (len(tracker), tracker.owners) == (0, 0)


def test_one_owner_is_watched_once() -> None:
    """Repeated tracking and untracking does not register more callbacks for the owner's end."""
    tracker = Tracker(Refs(lambda: 1, 0), lambda: None)
    guest = Guest(TOPIC)

    for _time in range(100):
        tracker.track(guest, "ann", {}, None)
        tracker.untrack(guest, None, None)

    assert (len(guest._monitors or ()), len(tracker), tracker.owners) == (1, 0, 1)
