"""The presences of other nodes, as this node shows them and forgets them."""

from __future__ import annotations

from phoenix_compat.presence import Guest, Presence
from phoenix_compat.presence.replicas import Replicas
from tests.unit.presence.presence_harness import TOPIC, RecordingBroadcaster, joins, leaves, one

ANN = {"phx_ref": "1", "n": 1}
BOB = {"phx_ref": "2", "n": 2}


def test_a_key_that_only_one_node_has() -> None:
    """Nodes are asked in the order of their numbers; one without the key adds nothing."""
    presence = Presence(RecordingBroadcaster())
    presence.merge(9, TOPIC, {"ann": [BOB]}, {})
    presence.merge(3, TOPIC, {"bob": [ANN]}, {})
    presence.merge(5, "room:b", {"bob": [ANN]}, {})
    presence.merge(1, TOPIC, {"ann": [ANN]}, {})

    assert presence.get_by_key(TOPIC, "ann") == {"metas": [ANN, BOB]}
    assert presence.list(TOPIC) == {"ann": {"metas": [ANN, BOB]}, "bob": {"metas": [ANN]}}


def test_own_metas_come_before_those_of_other_nodes() -> None:
    """A list has the metas of this node first, under one key."""
    presence = Presence(RecordingBroadcaster())
    presence.merge(1, TOPIC, {"ann": [ANN]}, {})
    ref = presence.track(Guest(TOPIC), "ann", {})

    metas = [{"phx_ref": ref}, ANN]
    assert presence.list(TOPIC) == {"ann": {"metas": metas}}
    assert presence.get_by_key(TOPIC, "ann") == {"metas": metas}


def test_topics_are_counted_once() -> None:
    """A topic counts while this node or another has a presence on it."""
    presence, guest = Presence(RecordingBroadcaster()), Guest(TOPIC)
    presence.track(guest, "ann", {})
    for node in (1, 2):
        presence.merge(node, TOPIC, {"ann": [ANN]}, {})
    presence.merge(1, "room:b", {"ann": [ANN]}, {})
    before = len(presence)

    guest.end()
    presence.merge(1, "room:b", {}, {"ann": [ANN]})

    assert (before, len(presence)) == (2, 1)


def test_a_state_changes_only_what_differs() -> None:
    """A diff has what is new and what is gone; what both have is in neither."""
    broadcaster = RecordingBroadcaster()
    presence = Presence(broadcaster)
    presence.replace(1, {TOPIC: {"ann": [ANN], "eve": [ANN]}, "room:b": {"ann": [ANN]}})
    broadcaster.take_diffs()

    presence.replace(1, {TOPIC: {"ann": [ANN, BOB]}, "room:b": {"ann": [ANN]}})

    diff = {"joins": one("ann", BOB), "leaves": one("eve", ANN)}
    assert broadcaster.take_diffs() == [(TOPIC, diff)]
    assert presence.list(TOPIC) == one("ann", ANN, BOB)


def test_a_node_that_ended_leaves_nothing_behind() -> None:
    """Its topics are forgotten, and so is its number; an unknown node may end too."""
    broadcaster = RecordingBroadcaster()
    presence = Presence(broadcaster)
    presence.replace(1, {TOPIC: {"ann": [ANN]}})

    presence.replace(1, {})
    presence.replace(2, {})

    assert broadcaster.take_diffs() == [
        (TOPIC, joins(one("ann", ANN))),
        (TOPIC, leaves(one("ann", ANN))),
    ]
    assert presence._replicas._nodes == {}


def test_a_key_leaves_with_what_is_known_of_it() -> None:
    """A leave of some metas keeps the others, and shows them as they were stored."""
    replicas = Replicas()
    replicas.apply(1, TOPIC, {"ann": [ANN, BOB]}, {})

    changes = replicas.apply(1, TOPIC, {}, {"ann": [{"phx_ref": "1"}, {"phx_ref": "9"}]})

    assert [(change.joins, change.leaves, change.is_own) for change in changes] == [
        ({}, {"ann": [ANN]}, False)
    ]
    assert replicas.metas(TOPIC, "ann") == [BOB]
