"""How a presence is made: its node, its class, and the endpoint that it belongs to."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.presence import Diff, Guest, Presence
from tests.unit.presence.presence_harness import TOPIC, RecordingBroadcaster


class Bus:
    """A bus of several processes, open or not."""

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open


class Registering(RecordingBroadcaster):
    """A broadcaster that knows its presences, as an endpoint does."""

    def __init__(self, **more: Any) -> None:
        super().__init__()
        self.presences: list[Presence] = []
        self.__dict__.update(more)


def test_the_refs_have_the_node() -> None:
    """A presence with a node's number makes the refs of that node."""
    presence = Presence(RecordingBroadcaster(), clock_ns=lambda: 5, node=0xABCD)

    ref = presence.track(Guest(TOPIC), "ann", {})

    assert base64.urlsafe_b64decode(ref).hex() == "0000000000000005abcd0001"


def test_an_endpoint_knows_its_presences() -> None:
    """A bus or a Cluster finds them there."""
    endpoint = Endpoint()

    presence = Presence(endpoint)

    assert endpoint.presences == [presence]


@pytest.mark.parametrize(
    ("more", "is_late"),
    [
        ({}, False),
        ({"shared_bus": None}, False),
        ({"shared_bus": Bus(is_open=False)}, False),
        ({"shared_bus": Bus(is_open=True)}, True),
    ],
)
def test_a_presence_that_is_made_too_late(
    more: dict[str, Any], is_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Other nodes do not see it; a warning says so."""
    broadcaster = Registering(**more)

    presence = Presence(broadcaster)

    assert broadcaster.presences == [presence]
    assert ("a Presence was made after the application has started" in caplog.text) is is_late


def test_a_presence_with_another_base_class() -> None:
    """A base class that takes arguments of the class statement gets them."""

    class Named:
        name = ""

        def __init_subclass__(cls, *, name: str, **more: Any) -> None:
            super().__init_subclass__(**more)
            cls.name = name

    class NamedPresence(Presence, Named, name="lobby"):
        """Nothing else."""

    assert NamedPresence.name == "lobby"


def test_handle_metas_may_call_that_of_its_base_class() -> None:
    """The one of Presence keeps the state."""

    class Calling(Presence):
        def init(self) -> list[str]:
            return ["begin"]

        def handle_metas(self, topic: str, diff: Diff, presences: Any, state: Any) -> Any:
            state.append(topic)
            return super().handle_metas(topic, diff, presences, state)

    presence = Calling(RecordingBroadcaster())

    presence.track(Guest(TOPIC), "ann", {})
    presence.track(Guest("room:b"), "bob", {})

    assert presence._state == ["begin", TOPIC, "room:b"]


def test_a_fetch_may_leave_the_metas_out() -> None:
    """handle_metas then hears of the diff, and of nobody who is there."""
    told: list[tuple[Diff, Any]] = []

    class Anonymous(Presence):
        def fetch(self, topic: str, presences: Any) -> Any:
            return {key: {"someone": True} for key in presences}

        def init(self) -> None:
            return None

        def handle_metas(self, topic: str, diff: Diff, presences: Any, state: Any) -> None:
            told.append((diff, presences))

    presence, ann = Anonymous(RecordingBroadcaster()), Guest(TOPIC)

    presence.track(ann, "ann", {})
    ann.end()

    someone = {"ann": {"someone": True}}
    assert told == [({"joins": someone, "leaves": {}}, {}), ({"joins": {}, "leaves": someone}, {})]
