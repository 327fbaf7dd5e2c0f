"""Presence against a simple model: whatever clients do, all of them end up with the same list.

Real channels over the runtime, without a network. Each client builds its own list as phoenix.js
does, from the one state it was pushed and the diffs it heard.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from phoenix_compat import Channel, HandleResult, Result, Socket, ok, on, stop
from phoenix_compat.presence import Presence
from tests.unit.presence.presence_harness import JsPresence
from tests.unit.protocol.strategies import steady
from tests.unit.runtime.harness import Client, Engine

TOPICS = ("room:a", "room:b")
GONE = ("shutdown", "closed")

clients = st.integers(0, 2)
topics = st.sampled_from(TOPICS)
keys = st.sampled_from(["ann", "bob", "7"])


class PresentChannel(Channel):
    """Pushes the state after the join, and tracks what the client asks for."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.send_self("after_join")
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        presence: Presence = socket.assigns["presence"]
        socket.push("presence_state", presence.list(socket))

    @on("track")
    def track(self, payload: Any, socket: Socket) -> HandleResult:
        presence: Presence = socket.assigns["presence"]
        presence.track(socket, payload["key"], {"on": payload["on"]}, topic=payload["topic"])
        return None

    @on("update")
    def update(self, payload: Any, socket: Socket) -> HandleResult:
        presence: Presence = socket.assigns["presence"]
        presence.update(socket, payload["key"], {"on": payload["on"]}, topic=payload["topic"])
        return None

    @on("untrack")
    def untrack(self, payload: Any, socket: Socket) -> HandleResult:
        presence: Presence = socket.assigns["presence"]
        presence.untrack(socket, payload["key"], topic=payload["topic"])
        return None

    @on("stop")
    def stop(self, payload: Any, socket: Socket) -> HandleResult:
        return stop(payload["reason"])


class PresenceMachine(RuleBasedStateMachine):
    """Clients join, track, update, untrack, and end in every possible way."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine()
        self.presence = Presence(self.engine)
        self.clients = [self.connect() for _ in range(3)]
        self.views: dict[tuple[int, str], JsPresence] = {}
        self.model: dict[tuple[int, str], dict[tuple[str, str], int]] = {}
        self.count = 0

    def connect(self) -> Client:
        return Client(self.engine, {"room:*": (PresentChannel, {"presence": self.presence})})

    # `model`: what each channel tracks, by topic and key; channels in the order they first did.

    @rule(client=clients, topic=topics)
    def join(self, client: int, topic: str) -> None:
        """Join, or join again, which kills the channel that was there."""
        self.count += 1
        self.model.pop((client, topic), None)
        self.views[client, topic] = JsPresence()
        self.send(client, str(self.count), "1", topic, "phx_join", {})

    @rule(client=clients, own=topics, topic=topics, key=keys)
    def track(self, client: int, own: str, topic: str, key: str) -> None:
        """Track, which crashes the channel if it does so already."""
        self.be_joined(client, own)
        if (topic, key) in self.model.get((client, own), {}):
            self.end(client, own)
        else:
            self.model.setdefault((client, own), {})[topic, key] = self.count + 1
        self.tell(client, own, "track", topic, key)

    @rule(client=clients, own=topics, topic=topics, key=keys)
    def update(self, client: int, own: str, topic: str, key: str) -> None:
        """Update, which crashes the channel if there is nothing to update."""
        self.be_joined(client, own)
        if (topic, key) in self.model.get((client, own), {}):
            self.model[client, own][topic, key] = self.count + 1
        else:
            self.end(client, own)
        self.tell(client, own, "update", topic, key)

    @rule(client=clients, own=topics, topic=topics, key=keys)
    def untrack(self, client: int, own: str, topic: str, key: str) -> None:
        """Untrack, whether there is something or not."""
        self.be_joined(client, own)
        self.model.get((client, own), {}).pop((topic, key), None)
        self.tell(client, own, "untrack", topic, key)

    @rule(client=clients, topic=topics, reason=st.sampled_from(["normal", "a fire", None]))
    def leave(self, client: int, topic: str, reason: str | None) -> None:
        """End a channel by a leave, a graceful stop, or a stop with an error."""
        self.be_joined(client, topic)
        self.end(client, topic)
        if reason is None:
            self.send(client, None, "1", topic, "phx_leave", {})
        else:
            self.send(client, None, "1", topic, "stop", {"reason": reason})

    @rule(client=clients)
    def reconnect(self, client: int) -> None:
        """Drop a connection with all its channels, and open another."""
        for topic in TOPICS:
            self.end(client, topic)
        self.clients[client].server.closed(GONE)
        self.clients[client] = self.connect()

    def be_joined(self, client: int, topic: str) -> None:
        if (client, topic) not in self.views:
            self.join(client, topic)

    def tell(self, client: int, own: str, event: str, topic: str, key: str) -> None:
        self.count += 1
        payload = {"key": key, "topic": topic, "on": self.count}
        self.send(client, None, "1", own, event, payload)

    def send(self, client: int, *message: Any) -> None:
        self.clients[client].server.receive(json.dumps(message).encode(), is_binary=False)

    def end(self, client: int, topic: str) -> None:
        self.model.pop((client, topic), None)
        self.views.pop((client, topic), None)

    @invariant()
    def lists_are_as_the_model_says(self) -> None:
        """The metas of each key, in the order of their channels."""
        expected: dict[str, dict[str, list[int]]] = {topic: {} for topic in TOPICS}
        for tracked in self.model.values():
            for (topic, key), on_ in tracked.items():
                expected[topic].setdefault(key, []).append(on_)
        for topic in TOPICS:
            listed = self.presence.list(topic)
            assert expected[topic] == {
                key: [meta["on"] for meta in found["metas"]] for key, found in listed.items()
            }

    @invariant()
    def every_client_has_the_list(self) -> None:
        """By the rules of phoenix.js, states and diffs result in the list."""
        for number, client in enumerate(self.clients):
            for _join_ref, _ref, topic, event, payload in client.received():
                if (number, topic) in self.views:
                    self.views[number, topic].receive(event, payload)
        for (_number, topic), view in self.views.items():
            listed = self.presence.list(topic)
            assert {key: _by_ref(metas) for key, metas in view.state.items()} == {
                key: _by_ref(found["metas"]) for key, found in listed.items()
            }

    def teardown(self) -> None:
        """After all channels have ended, nothing is left."""
        for client in self.clients:
            client.server.closed(GONE)
        assert (len(self.presence), self.presence._tracker.owners) == (0, 0)


def _by_ref(metas: list[Any]) -> list[Any]:
    return sorted(metas, key=lambda meta: str(meta["phx_ref"]))


TestPresence = PresenceMachine.TestCase
TestPresence.settings = settings(steady, max_examples=100, stateful_step_count=30)
