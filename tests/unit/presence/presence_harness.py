"""Helpers for tests of presence: a recording broadcaster, and the rules of phoenix.js."""

from __future__ import annotations

import copy
from typing import Any

from phoenix_compat.presence import Diff, Meta, Presences
from phoenix_compat.protocol.message import Payload

TOPIC = "room:a"


class RecordingBroadcaster:
    """Takes the place of an endpoint and records the diffs."""

    def __init__(self) -> None:
        self._heard: list[tuple[str, Diff]] = []

    def local_broadcast(self, topic: str, event: str, payload: Payload) -> None:
        """See Endpoint."""
        assert event == "presence_diff"
        self._heard.append((topic, payload))

    @property
    def count(self) -> int:
        """How many diffs there are since the last `take_diffs`."""
        return len(self._heard)

    def take_diffs(self) -> list[tuple[str, Diff]]:
        """The topics and diffs since the last call."""
        heard, self._heard = self._heard, []
        return heard


def one(key: str, *metas: Meta) -> Presences:
    """Presences with one key."""
    return {key: {"metas": list(metas)}}


def joins(presences: Presences) -> Diff:
    """A diff in which nobody leaves."""
    return {"joins": presences, "leaves": {}}


def leaves(presences: Presences) -> Diff:
    """A diff in which nobody joins."""
    return {"joins": {}, "leaves": presences}


class JsPresence:
    """The presence state of phoenix.js: metas by key, identified by their refs."""

    def __init__(self) -> None:
        self.state: dict[str, list[Meta]] = {}
        self._pending: list[Diff] | None = []

    def receive(self, event: str, payload: Any) -> None:
        """Handle a `presence_state` or a `presence_diff`; earlier diffs wait for the state."""
        if event == "presence_state":
            pending, self._pending = self._pending or [], None
            self.state = {key: copy.copy(found["metas"]) for key, found in payload.items()}
            for diff in pending:
                self._apply(diff)
        elif event == "presence_diff" and self._pending is not None:
            self._pending.append(payload)
        elif event == "presence_diff":
            self._apply(payload)

    def _apply(self, diff: Diff) -> None:
        for key, found in diff["joins"].items():
            refs = {meta["phx_ref"] for meta in found["metas"]}
            others = [meta for meta in self.state.get(key, []) if meta["phx_ref"] not in refs]
            self.state[key] = others + found["metas"]
        for key, found in diff["leaves"].items():
            refs = {meta["phx_ref"] for meta in found["metas"]}
            self.state[key] = [
                meta for meta in self.state.get(key, []) if meta["phx_ref"] not in refs
            ]
            if not self.state[key]:
                del self.state[key]
