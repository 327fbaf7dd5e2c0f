"""Presence: what each operation tells, and what a list shows.

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
from tests.unit.presence.presence_harness import ROOM, Ears, joins, leaves, one


class ExtraPresence(Presence):
    """Adds a field to each presence."""

    def fetch(self, topic: str, presences: Presences) -> Presences:
        return {key: {**found, "extra": topic} for key, found in presences.items()}


def scene(kind: type[Presence] = Presence) -> tuple[Presence, Ears, Guest]:
    """A presence, who hears it, and somebody in the room."""
    ears = Ears()
    return kind(ears), ears, Guest(ROOM)


# Lists.


def test_fetch_changes_nothing_by_itself() -> None:
    """§9.10.136: the default fetch gives back what it got."""
    presence, _ears, _ann = scene()
    presences = one("u1", {"name": "u1", "phx_ref": "ref"})

    assert presence.fetch(ROOM, presences) == presences


def test_a_list_by_topic_or_by_owner() -> None:
    """§9.10.137: list takes a topic or a socket, and shows what fetch added."""
    presence, _ears, ann = scene(ExtraPresence)
    before = presence.list(ROOM)

    ref = presence.track(ann, "u1", {"name": "u1"})

    expected = {"u1": {"metas": [{"name": "u1", "phx_ref": ref}], "extra": ROOM}}
    assert (before, presence.list(ROOM), presence.list(ann)) == ({}, expected, expected)


@pytest.mark.parametrize(
    ("key", "text"), [(1, "1"), (True, "true"), (False, "false"), ("é", "é"), ("", "")]
)
def test_keys_are_listed_as_strings(key: str | int, text: str) -> None:
    """§9.10.138: an integer key is a string in lists, and so is every other."""
    presence, ears, ann = scene()

    ref = presence.track(ann, key, {})

    assert ears.heard() == [(ROOM, joins(one(text, {"phx_ref": ref})))]
    assert presence.list(ROOM) == one(text, {"phx_ref": ref})
    assert presence.get_by_key(ROOM, key) == {"metas": [{"phx_ref": ref}]}


def test_get_by_key_shows_all_metas_of_a_key() -> None:
    """§9.10.139: metas of several owners are one presence; an unknown key or topic is nothing."""
    presence, _ears, phone = scene(ExtraPresence)
    first = presence.track(phone, 1, {"device": "phone"})
    second = presence.track(Guest(ROOM), "1", {"device": "desk"})

    found = presence.get_by_key(phone, 1)

    metas = [{"device": "phone", "phx_ref": first}, {"device": "desk", "phx_ref": second}]
    assert found == {"metas": metas, "extra": ROOM}
    assert presence.get_by_key(ROOM, "2") is None
    assert presence.get_by_key("room:b", 1) is None


def test_metas_are_in_the_order_of_their_owners() -> None:
    """§6.2: who was there first is listed first, whenever the key was tracked or updated."""
    presence, _ears, first = scene()
    second = Guest(ROOM)
    presence.track(first, "other", {})
    presence.track(second, "ann", {"on": 2})
    presence.track(first, "ann", {"on": 0})

    presence.update(first, "ann", {"on": 1})

    assert [meta["on"] for meta in presence.list(ROOM)["ann"]["metas"]] == [1, 2]


def test_a_list_is_a_copy() -> None:
    """Whatever a user does to a list, or later to the meta, the presence stays as tracked."""
    presence, ears, ann = scene()
    meta = {"on": 1}
    ref = presence.track(ann, "ann", meta)

    meta["on"] = 2
    presence.list(ROOM)["ann"]["metas"][0].clear()
    ears.heard()[0][1]["joins"]["ann"]["metas"][0].clear()

    assert presence.list(ROOM) == one("ann", {"on": 1, "phx_ref": ref})


# Track, untrack, update.


def test_track_and_the_end_of_its_owner() -> None:
    """§9.10.140: tracking tells joins alone, the owner's end tells leaves alone, same ref."""
    presence, ears, ann = scene()

    ref = presence.track(ann, "u1", {"name": "u1"})
    ann.end()

    u1 = one("u1", {"name": "u1", "phx_ref": ref})
    assert ears.heard() == [(ROOM, joins(u1)), (ROOM, leaves(u1))]
    assert presence.list(ROOM) == {}
    assert len(presence) == 0


def test_diffs_show_what_fetch_adds() -> None:
    """§9.10.141: the joins and the leaves of a diff are fetched."""
    presence, ears, ann = scene(ExtraPresence)

    ref = presence.track(ann, "u1", {})
    ann.end()

    u1: Presences = {"u1": {"metas": [{"phx_ref": ref}], "extra": ROOM}}
    assert ears.heard() == [(ROOM, joins(u1)), (ROOM, leaves(u1))]


def test_anything_can_take_the_diffs() -> None:
    """§9.10.142: who tells the diffs is the user's choice."""
    told = []

    class Dispatcher:
        def local_broadcast(self, topic: str, event: str, payload: Payload) -> None:
            told.append((topic, event, list(payload["joins"])))

    Presence(Dispatcher()).track(Guest(ROOM), "u1", {})

    assert told == [(ROOM, "presence_diff", ["u1"])]


def test_untrack_one_of_two() -> None:
    """§9.10.143: one key leaves, the other stays."""
    presence, ears, ann = scene()
    first = presence.track(ann, "u1", {})
    second = presence.track(ann, "u2", {})
    ears.heard()

    presence.untrack(ann, "u1")

    assert ears.heard() == [(ROOM, leaves(one("u1", {"phx_ref": first})))]
    assert presence.list(ROOM) == one("u2", {"phx_ref": second})


@pytest.mark.parametrize("key", ["u1", 7, "constructor", None])
def test_untrack_of_nothing(key: str | int | None) -> None:
    """§9.10.145: untracking who is not there is silent, for owners known and unknown."""
    presence, ears, ann = scene()
    presence.track(ann, "u2", {}, topic="room:b")
    ears.heard()

    presence.untrack(ann, key, topic=ROOM)
    presence.untrack(Guest(ROOM), key)

    assert ears.heard() == []


def test_update_is_one_diff() -> None:
    """§9.10.146, §10.57, §10.58: the new meta joins with a new ref, the old one leaves whole."""
    presence, ears, ann = scene()
    refs = [presence.track(ann, "u1", {"on": 1})]
    refs.append(presence.update(ann, "u1", {"on": 2}))
    ears.heard()

    refs.append(presence.update(ann, "u1", {"on": 3}))

    new = {"on": 3, "phx_ref": refs[2], "phx_ref_prev": refs[1]}
    old = {"on": 2, "phx_ref": refs[1], "phx_ref_prev": refs[0]}
    assert ears.heard() == [(ROOM, {"joins": one("u1", new), "leaves": one("u1", old)})]
    assert presence.list(ROOM) == one("u1", new)
    assert len(set(refs)) == 3


def test_update_with_a_function() -> None:
    """§6.2: the function gets the stored meta with its ref, and cannot change it."""
    presence, ears, ann = scene()
    first = presence.track(ann, "u1", {"on": 1})
    ears.heard()

    def bump(meta: dict[str, Any]) -> dict[str, Any]:
        assert meta == {"on": 1, "phx_ref": first}
        meta["on"] += 1
        return meta

    second = presence.update(ann, "u1", bump)

    assert presence.list(ROOM) == one("u1", {"on": 2, "phx_ref": second, "phx_ref_prev": first})
    assert ears.heard()[0][1]["leaves"] == one("u1", {"on": 1, "phx_ref": first})


def test_update_of_nothing() -> None:
    """§9.10.147: updating who is not there is an error, also when another owner has the key."""
    presence, ears, ann = scene()
    presence.track(ann, "u1", {})
    ears.heard()

    with pytest.raises(NotTrackedError) as caught:
        presence.update(Guest(ROOM), "u1", {})

    assert (caught.value.topic, caught.value.key) == (ROOM, "u1")
    assert ears.heard() == []


def test_one_owner_tracks_a_key_of_a_topic_once() -> None:
    """§6.2: the same owner, topic and key again is an error; any other of them is not."""
    presence, ears, ann = scene()
    presence.track(ann, 5, {})
    presence.track(ann, "6", {})
    presence.track(ann, 5, {}, topic="room:b")
    presence.track(Guest(ROOM), 5, {})
    ears.heard()

    with pytest.raises(AlreadyTrackedError) as caught:
        presence.track(ann, "5", {})

    assert (caught.value.topic, caught.value.key) == (ROOM, "5")
    assert ears.heard() == []


def test_the_refs_of_a_meta_are_ours() -> None:
    """§6.1: a user's own phx_ref is overwritten."""
    presence, _ears, ann = scene()

    ref = presence.track(ann, "u1", {"phx_ref": "mine"})

    assert presence.list(ROOM) == one("u1", {"phx_ref": ref})


def test_another_topic() -> None:
    """§6.2: a presence may be on any topic, and is addressed by it."""
    presence, ears, ann = scene()
    first = presence.track(ann, "u1", {"on": 1}, topic="room:b")
    second = presence.update(ann, "u1", {"on": 2}, topic="room:b")

    presence.untrack(ann, "u1", topic="room:b")

    old = {"on": 1, "phx_ref": first}
    new = {"on": 2, "phx_ref": second, "phx_ref_prev": first}
    assert ears.heard() == [
        ("room:b", joins(one("u1", old))),
        ("room:b", {"joins": one("u1", new), "leaves": one("u1", old)}),
        ("room:b", leaves(one("u1", new))),
    ]


def test_untrack_without_a_key() -> None:
    """All keys of the owner leave, those of one topic in one diff; others stay."""
    presence, ears, ann = scene()
    refs = [presence.track(ann, key, {}) for key in ("u1", "u2")]
    elsewhere = presence.track(ann, "u1", {}, topic="room:b")
    others = presence.track(Guest(ROOM), "u1", {})
    ears.heard()

    presence.untrack(ann, topic="room:b")
    presence.untrack(ann)

    both = {**one("u1", {"phx_ref": refs[0]}), **one("u2", {"phx_ref": refs[1]})}
    assert ears.heard() == [
        ("room:b", leaves(one("u1", {"phx_ref": elsewhere}))),
        (ROOM, leaves(both)),
    ]
    assert presence.list(ROOM) == one("u1", {"phx_ref": others})


def test_an_end_is_one_diff_for_each_topic() -> None:
    """§10.57: all keys of who ended leave a topic together."""
    presence, ears, ann = scene()
    refs = [presence.track(ann, key, {}) for key in ("u1", "u2")]
    elsewhere = presence.track(ann, "u1", {}, topic="room:b")
    ears.heard()

    with ann:
        assert len(presence) == 2

    both = {**one("u1", {"phx_ref": refs[0]}), **one("u2", {"phx_ref": refs[1]})}
    assert ears.heard() == [
        (ROOM, leaves(both)),
        ("room:b", leaves(one("u1", {"phx_ref": elsewhere}))),
    ]


def test_an_owner_that_has_ended_comes_and_goes() -> None:
    """Tracking for who is gone tells both, as linking to a dead process does in Phoenix."""
    presence, ears, ann = scene()
    ann.end()
    ann.end()

    ref = presence.track(ann, "u1", {})

    u1 = one("u1", {"phx_ref": ref})
    assert ears.heard() == [(ROOM, joins(u1)), (ROOM, leaves(u1))]
    assert len(presence) == 0
