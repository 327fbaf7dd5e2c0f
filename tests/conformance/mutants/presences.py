"""Mistakes of presence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat.conformance import reference
from phoenix_compat.presence.presence import Presence
from phoenix_compat.presence.tracker import Change, Meta, TrackedKey, Tracker
from tests.conformance.mutants import mutant, variant

_TASK_S = 0.01
"""How long a task of Phoenix may take to broadcast a diff."""


@mutant(
    57,
    fails=["presence/update", "presence/update-again"],
)
def an_update_is_two_diffs(patch: pytest.MonkeyPatch) -> None:
    """An update sends two diffs, one for each side."""
    tell_one = Presence._publish_change

    def telling_twice(self: Presence, change: Change) -> None:
        if change.joins and change.leaves:
            tell_one(self, change._replace(joins={}))
            change = change._replace(leaves={})
        tell_one(self, change)

    patch.setattr(Presence, "_publish_change", telling_twice)


@mutant(58, fails=["presence"])
def empty_sides_of_diffs_are_left_out(patch: pytest.MonkeyPatch) -> None:
    """A diff without leaves has no key `leaves`, and likewise for joins."""

    def tell_one(self: Presence, change: Change) -> None:
        sides = {"joins": change.joins, "leaves": change.leaves}
        diff = {name: self._fetched(change.topic, metas) for name, metas in sides.items() if metas}
        self._broadcaster.local_broadcast(change.topic, "presence_diff", diff)

    patch.setattr(Presence, "_publish_change", tell_one)


@mutant(
    58,
    fails=["presence/update", "presence/update-again"],
)
def updates_do_not_name_the_ref_before(patch: pytest.MonkeyPatch) -> None:
    """A new meta has no phx_ref_prev."""
    stamp = Tracker._with_refs

    def stamping(self: Tracker, place: TrackedKey, meta: Any, old: Meta | None) -> Meta:
        return stamp(self, place, meta, None)

    patch.setattr(Tracker, "_with_refs", stamping)


@mutant(
    59,
    fails=["presence/two-devices", "presence/rejoin-state"],
)
def the_state_comes_only_with_the_first_join(patch: pytest.MonkeyPatch) -> None:
    """A client that joins again gets no presence_state."""
    handle_info = reference.PresenceChannel.handle_info
    seen: set[Any] = set()

    def once(self: reference.PresenceChannel, message: Any, socket: Any) -> None:
        visit = (socket.topic, socket.assigns["key"])
        if visit in seen:
            socket.assigns["presence"].track(socket, socket.assigns["key"], {"online_at": 1})
        else:
            seen.add(visit)
            handle_info(self, message, socket)

    patch.setattr(reference.PresenceChannel, "handle_info", once)


@mutant(fails=["presence"])
def the_state_lacks_the_own_presence(patch: pytest.MonkeyPatch) -> None:
    """A client gets the state of the moment before it was tracked."""

    def state_first(self: reference.PresenceChannel, message: Any, socket: Any) -> None:
        presence = socket.assigns["presence"]
        state = presence.list(socket)
        presence.track(socket, socket.assigns["key"], {"online_at": 1})
        socket.push("presence_state", state)

    patch.setattr(reference.PresenceChannel, "handle_info", state_first)


@variant
def the_state_precedes_the_own_diff(patch: pytest.MonkeyPatch) -> None:
    """A client gets the state before the diff of its own join: a task broadcasts the diff."""

    def state_first(self: reference.PresenceChannel, message: Any, socket: Any) -> None:
        presence = socket.assigns["presence"]
        with pytest.MonkeyPatch.context() as held:
            held.setattr(Presence, "_publish", lambda _self: None)
            presence.track(socket, socket.assigns["key"], {"online_at": 1})
            state = presence.list(socket)
        socket.push("presence_state", state)
        presence._publish()

    patch.setattr(reference.PresenceChannel, "handle_info", state_first)


@variant
def diffs_are_broadcast_by_a_task(patch: pytest.MonkeyPatch) -> None:
    """The diff of an update comes after its reply, that of a join after the state."""
    publish = Presence._publish

    def later(self: Presence) -> None:
        asyncio.get_running_loop().call_later(_TASK_S, publish, self)

    patch.setattr(Presence, "_publish", later)
