"""When a diff is broadcast: after the callback that caused it, or before a list that has it."""

from __future__ import annotations

import asyncio
from typing import Any

from phoenix_compat.errors import WrongThreadError
from phoenix_compat.presence import Guest, Presence
from tests.unit.presence.presence_harness import TOPIC, RecordingBroadcaster, leaves, one


class CheckedBroadcaster(RecordingBroadcaster):
    """Records what the event loop is checked for, and refuses what is in `refused`."""

    def __init__(self) -> None:
        super().__init__()
        self.checked: list[str] = []
        self.refused: set[str] = set()

    def check_loop(self, function: str) -> None:
        """See Endpoint."""
        self.checked.append(function)
        if function in self.refused:
            raise WrongThreadError(function)


async def test_a_diff_follows_the_callback_that_caused_it() -> None:
    """Nothing is broadcast while the callback runs: its reply comes first."""
    broadcaster = RecordingBroadcaster()
    presence, ann = Presence(broadcaster), Guest(TOPIC)

    presence.track(ann, "ann", {})
    presence.update(ann, "ann", {"on": 1})
    presence.untrack(ann, "ann")
    during = broadcaster.count
    await asyncio.sleep(0)

    assert (during, broadcaster.count) == (0, 3)


async def test_later_callbacks_are_followed_too() -> None:
    """Each callback's diff follows it, not only that of the first one."""
    broadcaster = RecordingBroadcaster()
    presence, ann = Presence(broadcaster), Guest(TOPIC)

    for number in range(3):
        presence.track(ann, number, {})
        await asyncio.sleep(0)
        assert broadcaster.count == number + 1


async def test_the_diff_of_an_end_does_not_wait() -> None:
    """No callback waits for a reply when an owner ends, even just after it has tracked."""
    broadcaster = RecordingBroadcaster()
    presence, ann = Presence(broadcaster), Guest(TOPIC)
    ref = presence.track(ann, "ann", {})
    await asyncio.sleep(0)
    broadcaster.take_diffs()

    ann.end()

    assert broadcaster.take_diffs() == [(TOPIC, leaves(one("ann", {"phx_ref": ref})))]


async def test_a_list_has_only_what_was_broadcast() -> None:
    """`list` and `get_by_key` broadcast first, so that no later diff joins what they have."""
    broadcaster = RecordingBroadcaster()
    presence, ann = Presence(broadcaster), Guest(TOPIC)

    presence.track(ann, "ann", {})
    listed = (list(presence.list(TOPIC)), broadcaster.count)
    presence.track(ann, "bob", {})
    found = (presence.get_by_key(TOPIC, "bob"), broadcaster.count)

    assert listed == (["ann"], 1)
    assert (found[0] is not None, found[1]) == (True, 2)


async def test_what_shows_metas_broadcasts_nothing() -> None:
    """`metas` changes nothing: a diff that waits goes on waiting."""
    broadcaster = RecordingBroadcaster()
    presence, ann = Presence(broadcaster), Guest(TOPIC)
    presence.track(ann, "ann", {})

    shown = presence.metas(TOPIC)

    assert (list(shown), broadcaster.count) == (["ann"], 0)


def test_a_diff_outlives_the_event_loop_that_was_to_send_it() -> None:
    """A loop that ends before it has sent a diff leaves it to the next loop."""
    broadcaster = RecordingBroadcaster()
    presence, ann = Presence(broadcaster), Guest(TOPIC)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

    def track_and_stop(loop: asyncio.AbstractEventLoop, key: str) -> None:
        presence.track(ann, key, {})
        loop.stop()

    try:
        first.call_soon(track_and_stop, first, "ann")
        first.run_forever()
        first.close()
        assert broadcaster.count == 0
        second.call_soon(presence.track, ann, "bob", {})
        second.run_until_complete(asyncio.sleep(0))
    finally:
        second.close()

    assert [list(diff["joins"]) for _topic, diff in broadcaster.take_diffs()] == [["ann"], ["bob"]]


def test_each_change_is_made_in_the_event_loop() -> None:
    """The broadcaster is asked before a change, by the name of the method for its error."""
    broadcaster = CheckedBroadcaster()
    presence, ann = Presence(broadcaster), Guest(TOPIC)
    seen = []

    for change in (
        lambda: presence.track(ann, "ann", {}),
        lambda: presence.update(ann, "ann", {}),
        lambda: presence.untrack(ann, "ann"),
    ):
        change()
        seen.append(broadcaster.checked[0])
        broadcaster.checked.clear()

    assert seen == ["presence.track", "presence.update", "presence.untrack"]


def test_a_thread_that_lists_broadcasts_nothing() -> None:
    """Other threads may read; what waits is broadcast by the event loop."""
    broadcaster = CheckedBroadcaster()
    presence, ann = Presence(broadcaster), Guest(TOPIC)
    broadcaster.refused = {"presence.list"}
    presence.track(ann, "ann", {})

    listed: Any = presence.list(TOPIC)
    before = broadcaster.count
    broadcaster.refused.clear()
    presence.list(TOPIC)

    assert (list(listed), before, broadcaster.count) == (["ann"], 0, 1)
