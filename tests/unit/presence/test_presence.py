"""Presence: the diffs of each operation, and lists.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.presence import (
    AlreadyTrackedError,
    Guest,
    NotTrackedError,
    Presence,
    Presences,
)
from phoenix_compat.protocol.message import Payload
from tests.unit.presence.presence_harness import TOPIC, RecordingBroadcaster, joins, leaves, one


class ExtraPresence(Presence):
    """Adds a field to each presence."""

    def fetch(self, topic: str, presences: Presences) -> Presences:
        return {key: {**found, "extra": topic} for key, found in presences.items()}


def make_presence(kind: type[Presence] = Presence) -> tuple[Presence, RecordingBroadcaster, Guest]:
    """A presence, its broadcaster, and a guest on the topic."""
    broadcaster = RecordingBroadcaster()
    return kind(broadcaster), broadcaster, Guest(TOPIC)


# Lists.


def test_fetch_changes_nothing_by_itself() -> None:
    """§9.10.136: the default fetch returns its argument."""
    presence, _ears, _ann = make_presence()
    presences = one("u1", {"name": "u1", "phx_ref": "ref"})

    assert presence.fetch(TOPIC, presences) == presences


def test_a_list_by_topic_or_by_owner() -> None:
    """§9.10.137: list takes a topic or a socket, and includes the additions of fetch."""
    presence, _ears, ann = make_presence(ExtraPresence)
    before = presence.list(TOPIC)

    ref = presence.track(ann, "u1", {"name": "u1"})

    expected = {"u1": {"metas": [{"name": "u1", "phx_ref": ref}], "extra": TOPIC}}
    assert (before, presence.list(TOPIC), presence.list(ann)) == ({}, expected, expected)


@pytest.mark.parametrize(
    ("key", "text"), [(1, "1"), (True, "true"), (False, "false"), ("é", "é"), ("", "")]
)
def test_keys_are_listed_as_strings(key: str | int, text: str) -> None:
    """§9.10.138: an integer key is a string in lists, and so are all others."""
    presence, broadcaster, ann = make_presence()

    ref = presence.track(ann, key, {})

    assert broadcaster.take_diffs() == [(TOPIC, joins(one(text, {"phx_ref": ref})))]
    assert presence.list(TOPIC) == one(text, {"phx_ref": ref})
    assert presence.get_by_key(TOPIC, key) == {"metas": [{"phx_ref": ref}]}


def test_get_by_key_shows_all_metas_of_a_key() -> None:
    """§9.10.139: the metas of several owners are one presence; an unknown key or topic is None."""
    presence, _ears, phone = make_presence(ExtraPresence)
    first = presence.track(phone, 1, {"device": "phone"})
    second = presence.track(Guest(TOPIC), "1", {"device": "desk"})

    found = presence.get_by_key(phone, 1)

    metas = [{"device": "phone", "phx_ref": first}, {"device": "desk", "phx_ref": second}]
    assert found == {"metas": metas, "extra": TOPIC}
    assert presence.get_by_key(TOPIC, "2") is None
    assert presence.get_by_key("room:b", 1) is None


def test_metas_are_in_the_order_of_their_owners() -> None:
    """§6.2: the first owner is listed first, whenever the key was tracked or updated."""
    presence, _ears, first = make_presence()
    second = Guest(TOPIC)
    presence.track(first, "other", {})
    presence.track(second, "ann", {"on": 2})
    presence.track(first, "ann", {"on": 0})

    presence.update(first, "ann", {"on": 1})

    assert [meta["on"] for meta in presence.list(TOPIC)["ann"]["metas"]] == [1, 2]


def test_a_list_is_a_copy() -> None:
    """Modifying a list, or the meta after tracking, does not change the presence."""
    presence, broadcaster, ann = make_presence()
    meta = {"on": 1}
    ref = presence.track(ann, "ann", meta)

    meta["on"] = 2
    presence.list(TOPIC)["ann"]["metas"][0].clear()
    broadcaster.take_diffs()[0][1]["joins"]["ann"]["metas"][0].clear()

    assert presence.list(TOPIC) == one("ann", {"on": 1, "phx_ref": ref})


# Track, untrack, update.


def test_track_and_the_end_of_its_owner() -> None:
    """§9.10.140: tracking broadcasts only joins, the owner's end only leaves, with the same ref."""
    presence, broadcaster, ann = make_presence()

    ref = presence.track(ann, "u1", {"name": "u1"})
    ann.end()

    u1 = one("u1", {"name": "u1", "phx_ref": ref})
    assert broadcaster.take_diffs() == [(TOPIC, joins(u1)), (TOPIC, leaves(u1))]
    assert presence.list(TOPIC) == {}
    assert len(presence) == 0


def test_diffs_show_what_fetch_adds() -> None:
    """§9.10.141: the joins and the leaves of a diff include the additions of fetch."""
    presence, broadcaster, ann = make_presence(ExtraPresence)

    ref = presence.track(ann, "u1", {})
    ann.end()

    u1: Presences = {"u1": {"metas": [{"phx_ref": ref}], "extra": TOPIC}}
    assert broadcaster.take_diffs() == [(TOPIC, joins(u1)), (TOPIC, leaves(u1))]


def test_anything_can_take_the_diffs() -> None:
    """§9.10.142: any object with `local_broadcast` can be the broadcaster."""
    told = []

    class Dispatcher:
        def local_broadcast(self, topic: str, event: str, payload: Payload) -> None:
            told.append((topic, event, list(payload["joins"])))

    Presence(Dispatcher()).track(Guest(TOPIC), "u1", {})

    assert told == [(TOPIC, "presence_diff", ["u1"])]


def test_untrack_one_of_two() -> None:
    """§9.10.143: one key leaves, the other stays."""
    presence, broadcaster, ann = make_presence()
    first = presence.track(ann, "u1", {})
    second = presence.track(ann, "u2", {})
    broadcaster.take_diffs()

    presence.untrack(ann, "u1")

    assert broadcaster.take_diffs() == [(TOPIC, leaves(one("u1", {"phx_ref": first})))]
    assert presence.list(TOPIC) == one("u2", {"phx_ref": second})


@pytest.mark.parametrize("key", ["u1", 7, "constructor", None])
def test_untrack_of_nothing(key: str | int | None) -> None:
    """§9.10.145: untracking an unknown presence does nothing, for known and unknown owners."""
    presence, broadcaster, ann = make_presence()
    presence.track(ann, "u2", {}, topic="room:b")
    broadcaster.take_diffs()

    presence.untrack(ann, key, topic=TOPIC)
    presence.untrack(Guest(TOPIC), key)

    assert broadcaster.take_diffs() == []


def test_update_is_one_diff() -> None:
    """§9.10.146, §10.57, §10.58: the new meta joins with a new ref, the old one leaves intact."""
    presence, broadcaster, ann = make_presence()
    refs = [presence.track(ann, "u1", {"on": 1})]
    refs.append(presence.update(ann, "u1", {"on": 2}))
    broadcaster.take_diffs()

    refs.append(presence.update(ann, "u1", {"on": 3}))

    new = {"on": 3, "phx_ref": refs[2], "phx_ref_prev": refs[1]}
    old = {"on": 2, "phx_ref": refs[1], "phx_ref_prev": refs[0]}
    assert broadcaster.take_diffs() == [
        (TOPIC, {"joins": one("u1", new), "leaves": one("u1", old)})
    ]
    assert presence.list(TOPIC) == one("u1", new)
    assert len(set(refs)) == 3


def test_update_with_a_function() -> None:
    """§6.2: the function gets the stored meta with its ref, and cannot modify it."""
    presence, broadcaster, ann = make_presence()
    first = presence.track(ann, "u1", {"on": 1})
    broadcaster.take_diffs()

    def bump(meta: dict[str, Any]) -> dict[str, Any]:
        assert meta == {"on": 1, "phx_ref": first}
        meta["on"] += 1
        return meta

    second = presence.update(ann, "u1", bump)

    assert presence.list(TOPIC) == one("u1", {"on": 2, "phx_ref": second, "phx_ref_prev": first})
    assert broadcaster.take_diffs()[0][1]["leaves"] == one("u1", {"on": 1, "phx_ref": first})


def test_update_of_nothing() -> None:
    """§9.10.147: updating an unknown presence is an error, even if another owner has the key."""
    presence, broadcaster, ann = make_presence()
    presence.track(ann, "u1", {})
    broadcaster.take_diffs()

    with pytest.raises(NotTrackedError, match="does not track 'u1' on 'room:a'") as caught:
        presence.update(Guest(TOPIC), "u1", {})

    assert (caught.value.topic, caught.value.key) == (TOPIC, "u1")
    assert broadcaster.take_diffs() == []


def test_one_owner_tracks_a_key_of_a_topic_once() -> None:
    """§6.2: a second track of the same owner, topic and key is an error."""
    presence, broadcaster, ann = make_presence()
    presence.track(ann, 5, {})
    presence.track(ann, "6", {})
    presence.track(ann, 5, {}, topic="room:b")
    presence.track(Guest(TOPIC), 5, {})
    broadcaster.take_diffs()

    with pytest.raises(AlreadyTrackedError, match="already tracks '5' on 'room:a'") as caught:
        presence.track(ann, "5", {})

    assert (caught.value.topic, caught.value.key) == (TOPIC, "5")
    assert broadcaster.take_diffs() == []


def test_the_refs_of_a_meta_are_ours() -> None:
    """§6.1: a user's own phx_ref is overwritten."""
    presence, _ears, ann = make_presence()

    ref = presence.track(ann, "u1", {"phx_ref": "mine"})

    assert presence.list(TOPIC) == one("u1", {"phx_ref": ref})


def test_another_topic() -> None:
    """§6.2: a presence may be on any topic; other operations name that topic too."""
    presence, broadcaster, ann = make_presence()
    first = presence.track(ann, "u1", {"on": 1}, topic="room:b")
    second = presence.update(ann, "u1", {"on": 2}, topic="room:b")

    presence.untrack(ann, "u1", topic="room:b")

    old = {"on": 1, "phx_ref": first}
    new = {"on": 2, "phx_ref": second, "phx_ref_prev": first}
    assert broadcaster.take_diffs() == [
        ("room:b", joins(one("u1", old))),
        ("room:b", {"joins": one("u1", new), "leaves": one("u1", old)}),
        ("room:b", leaves(one("u1", new))),
    ]


def test_untrack_without_a_key() -> None:
    """All keys of the owner leave, those of one topic in one diff; others stay."""
    presence, broadcaster, ann = make_presence()
    refs = [presence.track(ann, key, {}) for key in ("u1", "u2")]
    elsewhere = presence.track(ann, "u1", {}, topic="room:b")
    others = presence.track(Guest(TOPIC), "u1", {})
    broadcaster.take_diffs()

    presence.untrack(ann, topic="room:b")
    presence.untrack(ann)

    both = {**one("u1", {"phx_ref": refs[0]}), **one("u2", {"phx_ref": refs[1]})}
    assert broadcaster.take_diffs() == [
        ("room:b", leaves(one("u1", {"phx_ref": elsewhere}))),
        (TOPIC, leaves(both)),
    ]
    assert presence.list(TOPIC) == one("u1", {"phx_ref": others})


def test_an_end_is_one_diff_for_each_topic() -> None:
    """§10.57: all keys of an ended owner leave a topic in one diff."""
    presence, broadcaster, ann = make_presence()
    refs = [presence.track(ann, key, {}) for key in ("u1", "u2")]
    elsewhere = presence.track(ann, "u1", {}, topic="room:b")
    broadcaster.take_diffs()

    with ann:
        assert len(presence) == 2

    both = {**one("u1", {"phx_ref": refs[0]}), **one("u2", {"phx_ref": refs[1]})}
    assert broadcaster.take_diffs() == [
        (TOPIC, leaves(both)),
        ("room:b", leaves(one("u1", {"phx_ref": elsewhere}))),
    ]


def test_an_owner_that_has_ended_comes_and_goes() -> None:
    """Tracking an ended owner broadcasts a join and a leave, as in Phoenix."""
    presence, broadcaster, ann = make_presence()
    ann.end()
    ann.end()

    ref = presence.track(ann, "u1", {})

    u1 = one("u1", {"phx_ref": ref})
    assert broadcaster.take_diffs() == [(TOPIC, joins(u1)), (TOPIC, leaves(u1))]
    assert len(presence) == 0
