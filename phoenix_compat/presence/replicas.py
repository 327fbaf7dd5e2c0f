"""Holds copies of what the other processes of this server track.

Each process is responsible for the presences of its own owners. This is the latest known state of
the others. Metas are identified by their refs, so applying the same change twice has no effect.

Source: phoenix_pubsub 2.2.0, lib/phoenix/tracker/shard.ex and state.ex.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from phoenix_compat.presence.tracker import Change, Meta

Topics: TypeAlias = Mapping[str, Mapping[str, list[Meta]]]
"""Metas by topic and key."""


class Replicas:
    """The presences of other nodes."""

    __slots__ = ("_nodes",)

    def __init__(self) -> None:
        self._nodes: dict[int, dict[str, dict[str, list[Meta]]]] = {}

    @property
    def topics(self) -> Iterable[str]:
        """The topics on which another node has a presence; with duplicates."""
        return (topic for topics in self._nodes.values() for topic in topics)

    def metas(self, topic: str, key: str) -> list[Meta]:
        """The metas of a key, ordered by node."""
        return [meta for node in sorted(self._nodes) for meta in self._of(node, topic).get(key, ())]

    def all_metas(self, topic: str) -> dict[str, list[Meta]]:
        """The metas of a topic, by key."""
        merged: dict[str, list[Meta]] = {}
        for node in sorted(self._nodes):
            for key, metas in self._of(node, topic).items():
                merged.setdefault(key, []).extend(metas)
        return merged

    def apply(
        self,
        node: int,
        topic: str,
        joins: Mapping[str, list[Meta]],
        leaves: Mapping[str, list[Meta]],
    ) -> list[Change]:
        """Apply a diff of a node; return the actual changes."""
        keys = self._nodes.setdefault(node, {}).setdefault(topic, {})
        left = {key: _remove(keys, key, metas) for key, metas in leaves.items()}
        joined = {key: _add(keys, key, metas) for key, metas in joins.items()}
        return self._changes(node, topic, joined, left)

    def replace(self, node: int, topics: Topics) -> list[Change]:
        """Replace the whole copy of a node; return the actual changes."""
        changes: list[Change] = []
        for topic in {**self._nodes.get(node, {}), **topics}:
            old, new = self._of(node, topic), topics.get(topic, {})
            leaves = {key: _without(metas, new.get(key, ())) for key, metas in old.items()}
            joins = {key: _without(metas, old.get(key, ())) for key, metas in new.items()}
            changes += self.apply(node, topic, joins, leaves)
        if not topics:
            self._nodes.pop(node, None)
        return changes

    def _of(self, node: int, topic: str) -> Mapping[str, list[Meta]]:
        return self._nodes.get(node, {}).get(topic, {})

    def _changes(
        self, node: int, topic: str, joins: dict[str, list[Meta]], leaves: dict[str, list[Meta]]
    ) -> list[Change]:
        if not self._nodes[node][topic]:
            del self._nodes[node][topic]
        joined = {key: metas for key, metas in joins.items() if metas}
        left = {key: metas for key, metas in leaves.items() if metas}
        return [Change(topic, joined, left, is_own=False)] if joined or left else []


def _add(keys: dict[str, list[Meta]], key: str, metas: Iterable[Meta]) -> list[Meta]:
    """Add the metas that are new; return them."""
    new = _without(metas, keys.get(key, ()))
    if new:
        keys[key] = keys.get(key, []) + new
    return new


def _remove(keys: dict[str, list[Meta]], key: str, metas: Iterable[Meta]) -> list[Meta]:
    """Remove the metas that are known; return them as they were stored."""
    known = keys.get(key, [])
    remaining = _without(known, metas)
    if remaining:
        keys[key] = remaining
    else:
        keys.pop(key, None)
    return _without(known, remaining)


def _without(metas: Iterable[Meta], others: Iterable[Meta]) -> list[Meta]:
    refs = {other["phx_ref"] for other in others}
    return [meta for meta in metas if meta["phx_ref"] not in refs]
