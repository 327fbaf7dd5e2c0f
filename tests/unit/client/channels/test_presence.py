"""Presence merges like phoenix.js."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from phoenix_compat.client import ClientLimits, Presence
from phoenix_compat.client.channels.presence import list_presences, sync_diff, sync_state
from phoenix_compat.conformance.suite.catalog import read_vectors
from tests.unit.client.channels.lone_channel import LoneChannel

CASES = read_vectors("data/presence.json")["cases"]
ANN = {"ann": {"metas": [{"phx_ref": "A1"}]}}
BOB = {"bob": {"metas": [{"phx_ref": "B1"}]}}


def test_each_vector() -> None:
    """After its steps, the presences are those that phoenix.js has (tests/interop checks it)."""
    for case in CASES:
        lone = LoneChannel()
        presence = Presence(lone.channel)
        for step in case["steps"]:
            if step["event"] == "rejoined":
                lone.rejoin()
            else:
                lone.receive(step["event"], step["payload"])

        assert presence.state == case["presences"], case["id"]


def test_callbacks() -> None:
    """They get the key, what there was, and what is new or gone."""
    lone = LoneChannel()
    presence = Presence(lone.channel)
    calls: list[Any] = []
    presence.on_join(lambda *values: calls.append(("join", *copy.deepcopy(values))))
    presence.on_leave(lambda *values: calls.append(("leave", *copy.deepcopy(values))))
    presence.on_sync(lambda: calls.append("sync"))
    two = {"ann": {"metas": [{"phx_ref": "A2"}]}}

    lone.receive("presence_diff", {"joins": BOB, "leaves": {}})
    lone.receive("presence_state", ANN)
    lone.receive("presence_diff", {"joins": two, "leaves": ANN})

    left_with = {"metas": [{"phx_ref": "A2"}]}
    assert calls == [
        ("join", "ann", None, ANN["ann"]),
        ("join", "bob", None, BOB["bob"]),
        "sync",
        ("join", "ann", ANN["ann"], two["ann"]),
        ("leave", "ann", left_with, ANN["ann"]),
        "sync",
    ]


def test_a_new_state_tells_who_left_meanwhile() -> None:
    """A rejoin brings a whole state; callbacks get the difference."""
    lone = LoneChannel()
    presence = Presence(lone.channel)
    calls: list[str] = []
    lone.receive("presence_state", ANN)
    presence.on_join(lambda key, *_: calls.append(f"+{key}"))
    presence.on_leave(lambda key, *_: calls.append(f"-{key}"))

    lone.rejoin()
    lone.receive("presence_state", BOB)

    assert calls == ["+bob", "-ann"]
    assert presence.list() == [("bob", BOB["bob"])]


def test_pending_diffs_are_bounded() -> None:
    """Without a state, the oldest diffs are dropped and counted."""
    lone = LoneChannel(ClientLimits(max_pending_diffs=2))
    presence = Presence(lone.channel)
    for n in range(5):
        joins = {str(n): {"metas": [{"phx_ref": str(n)}]}}
        lone.receive("presence_diff", {"joins": joins, "leaves": {}})

    lone.receive("presence_state", {})

    assert [key for key, _entry in presence.list()] == ["3", "4"]
    assert lone.counters.diffs_dropped == 3


@pytest.mark.parametrize(
    "payload",
    [None, [], "x", {"ann": None}, {"ann": {}}, {"ann": {"metas": {}}}, {"ann": {"metas": [1]}}],
)
def test_what_is_not_presence(payload: Any) -> None:
    """It is counted, and changes nothing."""
    lone = LoneChannel()
    presence = Presence(lone.channel)
    lone.receive("presence_state", ANN)

    lone.receive("presence_state", payload)
    lone.receive("presence_diff", payload)
    lone.receive("presence_diff", {"joins": payload, "leaves": {}})

    assert presence.state == ANN
    assert lone.counters.messages_unreadable == 3


def test_other_events() -> None:
    """As in phoenix.js, the names of the events can be chosen."""
    lone = LoneChannel()
    presence = Presence(lone.channel, state_event="state", diff_event="diff")

    lone.receive("state", ANN)
    lone.receive("diff", {"joins": BOB, "leaves": ANN})

    assert presence.state == BOB


def test_functions_leave_their_arguments_alone() -> None:
    """Each returns a new state."""
    state, new = copy.deepcopy(ANN), copy.deepcopy(BOB)

    synced = sync_state(state, new)
    changed = sync_diff(state, {"joins": new, "leaves": ANN})

    assert (state, new) == (ANN, BOB)
    assert synced == changed == BOB
    assert list_presences(synced, lambda key, entry: (key, len(entry["metas"]))) == [("bob", 1)]
