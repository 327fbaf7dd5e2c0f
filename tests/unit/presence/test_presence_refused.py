"""Presence: what cannot be tracked, errors of `fetch`, and the order of diffs.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from phoenix_compat import EncodeError
from phoenix_compat.presence import (
    Diff,
    Guest,
    InvalidPresenceError,
    Presence,
    Presences,
)
from phoenix_compat.protocol.message import Payload
from phoenix_compat.socket import Socket, SocketHandler
from tests.unit.presence.presence_harness import TOPIC, RecordingBroadcaster, joins, leaves, one
from tests.unit.runtime.harness import Engine


class ExtraPresence(Presence):
    """Adds a field to each presence."""

    def fetch(self, topic: str, presences: Presences) -> Presences:
        return {key: {**found, "extra": topic} for key, found in presences.items()}


def make_presence(kind: type[Presence] = Presence) -> tuple[Presence, RecordingBroadcaster, Guest]:
    """A presence, its broadcaster, and a guest on the topic."""
    broadcaster = RecordingBroadcaster()
    return kind(broadcaster), broadcaster, Guest(TOPIC)


# What cannot be tracked.


@pytest.mark.parametrize("meta", [None, "away", [], 5])
def test_a_meta_is_a_dict(meta: Any) -> None:
    """§6.1: anything else is refused, by track and by update, and nothing changes."""
    presence, broadcaster, ann = make_presence()
    ref = presence.track(ann, "u1", {})
    broadcaster.take_diffs()

    with pytest.raises(InvalidPresenceError, match="'u2' must be a dict"):
        presence.track(ann, "u2", meta)
    with pytest.raises(InvalidPresenceError, match="'u1' must be a dict"):
        presence.update(ann, "u1", lambda _meta: meta)

    assert broadcaster.take_diffs() == []
    assert presence.list(TOPIC) == one("u1", {"phx_ref": ref})


def test_a_meta_is_json() -> None:
    """A meta that cannot be sent is refused before anything changes."""
    presence, broadcaster, ann = make_presence()

    with pytest.raises(EncodeError):
        presence.track(ann, "u1", {"who": object()})
    with pytest.raises(EncodeError):
        presence.track(ann, "\ud800", {})

    assert (broadcaster.take_diffs(), presence.list(TOPIC)) == ([], {})


@pytest.mark.parametrize(
    "key",
    [
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "prototype",
        "toLocaleString",
        "toString",
        "valueOf",
    ],
)
def test_keys_that_every_javascript_object_has(key: str) -> None:
    """They are refused, because phoenix.js before 1.8.9 takes them for presences."""
    presence, broadcaster, ann = make_presence()

    with pytest.raises(InvalidPresenceError, match=f"'{key}' cannot be a presence key"):
        presence.track(ann, key, {})

    assert broadcaster.take_diffs() == []


@pytest.mark.parametrize("key", [None, 1.5, b"ann", ("a",)])
def test_keys_that_have_no_string(key: Any) -> None:
    """Only strings, integers and booleans are keys."""
    presence, _ears, ann = make_presence()

    with pytest.raises(InvalidPresenceError, match="must be a str, an int or a bool"):
        presence.track(ann, key, {})
    with pytest.raises(ValueError, match="must be a str, an int or a bool"):
        presence.get_by_key(TOPIC, key)


def test_a_socket_in_connect_is_not_present() -> None:
    """It has no channel, so the presence would never end."""
    presence, broadcaster, _ann = make_presence()
    socket = Socket(Engine(), SocketHandler)

    with pytest.raises(InvalidPresenceError, match="no channel"):
        presence.track(socket, "u1", {}, topic=TOPIC)

    assert (broadcaster.take_diffs(), len(presence)) == ([], 0)


# fetch.


def test_fetch_is_called_for_both_sides_of_a_diff() -> None:
    """§6.2: joins, then leaves, even if they are empty; and once for a list."""
    calls: list[tuple[str, list[str]]] = []

    class Noting(Presence):
        def fetch(self, topic: str, presences: Presences) -> Presences:
            calls.append((topic, list(presences)))
            return presences

    presence, _ears, ann = make_presence(Noting)

    presence.track(ann, "u1", {})
    presence.list(TOPIC)
    ann.end()

    assert calls == [(TOPIC, keys) for keys in (["u1"], [], ["u1"], [], ["u1"])]


def test_a_fetch_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A diff is sent without additions, so clients stay correct; a list raises."""

    class Failing(Presence):
        def fetch(self, topic: str, presences: Presences) -> Presences:
            presences.clear()
            raise RuntimeError("no database")

    presence, broadcaster, ann = make_presence(Failing)

    ref = presence.track(ann, "u1", {})
    ann.end()

    u1 = one("u1", {"phx_ref": ref})
    assert broadcaster.take_diffs() == [(TOPIC, joins(u1)), (TOPIC, leaves(u1))]
    assert "fetch of 'room:a' failed" in caplog.text
    with pytest.raises(RuntimeError, match="no database"):
        presence.list(TOPIC)


def test_a_diff_that_cannot_be_broadcast(caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged; neither the tracker nor the end of the channel fails."""

    class Mute:
        def local_broadcast(self, topic: str, event: str, payload: Payload) -> None:
            raise EncodeError("payload is not JSON")

    presence = Presence(Mute())
    ann = Guest(TOPIC)

    presence.track(ann, "u1", {})
    ann.end()

    failures = [record.levelno for record in caplog.records]
    assert failures == [logging.ERROR, logging.ERROR]
    assert "presence_diff of 'room:a' failed" in caplog.text
    assert len(presence) == 0


# Order.


def test_what_a_subscriber_tracks_is_broadcast_next() -> None:
    """§6.3: diffs are sent in the order of the operations, whoever caused them."""
    order: list[tuple[str, list[str]]] = []

    class Echoing:
        """A subscriber that reacts to the first diffs, and another one after it."""

        def local_broadcast(self, topic: str, event: str, payload: Diff) -> None:
            key = next(iter(payload["joins"]))
            if len(key) < 3:
                presence.track(ann, f"{key}!", {})
            order.append((topic, list(payload["joins"])))

    presence, ann = Presence(Echoing()), Guest(TOPIC)

    presence.track(ann, "a", {})

    assert order == [(TOPIC, ["a"]), (TOPIC, ["a!"]), (TOPIC, ["a!!"])]
