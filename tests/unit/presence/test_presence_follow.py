"""The calls of handle_metas.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import ChannelDefinitionError
from phoenix_compat.presence import Diff, Guest, Presence
from tests.unit.presence.presence_harness import TOPIC, RecordingBroadcaster, joins, one


class Following(Presence):
    """Records the arguments of handle_metas; its state counts the calls."""

    def __init__(self, broadcaster: RecordingBroadcaster) -> None:
        super().__init__(broadcaster)
        self.calls: list[Any] = []

    def init(self) -> int:
        return 0

    def handle_metas(self, topic: str, diff: Diff, presences: Any, state: int) -> int:
        self.calls.append((topic, diff, presences, state))
        return state + 1

    def last(self) -> Any:
        """The presences of the last call, without refs."""
        _topic, _diff, presences, _state = self.calls[-1]
        return {key: [meta["on"] for meta in metas] for key, metas in presences.items()}


def following() -> tuple[Following, Guest, Guest]:
    """A presence with handle_metas, and two owners on the topic."""
    return Following(RecordingBroadcaster()), Guest(TOPIC), Guest(TOPIC)


def test_handle_metas_without_init() -> None:
    """§9.10.149: a class with handle_metas must have an initial state."""
    with pytest.raises(ChannelDefinitionError, match="no init"):

        class Careless(Presence):
            def handle_metas(self, topic: str, diff: Diff, presences: Any, state: Any) -> Any:
                return state


def test_a_new_topic_is_followed() -> None:
    """§9.10.150: the first presence of a topic is passed on, with its diff."""
    presence, ann, _bob = following()

    ref = presence.track(ann, "u1", {"on": 1})
    presence.track(ann, "u1", {"on": 2}, topic="room:b")

    meta = {"on": 1, "phx_ref": ref}
    assert presence.calls[0] == (TOPIC, joins(one("u1", meta)), {"u1": [meta]}, 0)
    assert (presence.calls[1][0], presence.last(), presence.calls[1][3]) == (
        "room:b",
        {"u1": [2]},
        1,
    )


def test_more_keys_are_followed() -> None:
    """§9.10.151: more keys are added, and earlier arguments do not change."""
    presence, ann, _bob = following()
    presence.track(ann, "u1", {"on": 1})

    presence.track(ann, "u2", {"on": 2})

    assert presence.last() == {"u1": [1], "u2": [2]}
    assert list(presence.calls[0][2]) == ["u1"]


def test_more_metas_are_followed_in_the_order_they_came() -> None:
    """§9.10.152: metas of one key are appended in the order of their joins, not of their owners."""
    presence, ann, bob = following()
    presence.track(ann, "other", {"on": 0})
    presence.track(bob, "u1", {"on": 1})
    presence.track(ann, "u1", {"on": 2})

    presence.update(bob, "u1", {"on": 3})

    assert presence.last() == {"other": [0], "u1": [2, 3]}


def test_the_end_of_a_topic_is_followed() -> None:
    """§9.10.153: after the last presence left, the topic is empty."""
    presence, ann, _bob = following()
    presence.track(ann, "u1", {"on": 1})

    ann.end()

    assert presence.last() == {}
    assert not presence._published


def test_the_end_of_a_key_is_followed() -> None:
    """§9.10.154: a key is removed with its last meta; others stay."""
    presence, ann, bob = following()
    presence.track(ann, "u1", {"on": 1})
    presence.track(bob, "u2", {"on": 2})

    ann.end()

    assert presence.last() == {"u2": [2]}


def test_the_end_of_a_meta_is_followed() -> None:
    """§9.10.155: of several metas of a key, only one is removed."""
    presence, ann, bob = following()
    presence.track(ann, "u1", {"on": 1})
    presence.track(bob, "u1", {"on": 2})

    ann.end()

    assert presence.last() == {"u1": [2]}


def test_a_handle_metas_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged and the state kept; presences and diffs continue."""

    class Raising(Following):
        def handle_metas(self, topic: str, diff: Diff, presences: Any, state: int) -> int:
            super().handle_metas(topic, diff, presences, state)
            raise RuntimeError("not now")

    presence, ann = Raising(RecordingBroadcaster()), Guest(TOPIC)

    presence.track(ann, "u1", {"on": 1})
    presence.track(ann, "u2", {"on": 2})

    assert presence.last() == {"u1": [1], "u2": [2]}
    assert [call[3] for call in presence.calls] == [0, 0]
    assert "handle_metas of 'room:a' failed" in caplog.text
