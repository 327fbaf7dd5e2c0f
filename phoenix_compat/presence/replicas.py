"""What the other processes of this server track: a copy, told here as if it had happened here.

Each process owns what its own owners track. Here is what each of the others said last; metas are
told apart by their refs, so that to hear a thing twice changes nothing.

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
        """The topics on which another node has a presence; some twice."""
        return (topic for topics in self._nodes.values() for topic in topics)

    def metas(self, topic: str, key: str) -> list[Meta]:
        """The metas of a key, node after node."""
        return [meta for node in sorted(self._nodes) for meta in self._of(node, topic).get(key, ())]

    def all_metas(self, topic: str) -> dict[str, list[Meta]]:
        """The metas of a topic, by key."""
        found: dict[str, list[Meta]] = {}
        for node in sorted(self._nodes):
            for key, metas in self._of(node, topic).items():
                found.setdefault(key, []).extend(metas)
        return found

    def apply(
        self,
        node: int,
        topic: str,
        joins: Mapping[str, list[Meta]],
        leaves: Mapping[str, list[Meta]],
    ) -> list[Change]:
        """Take a diff of a node; what is new in it."""
        keys = self._nodes.setdefault(node, {}).setdefault(topic, {})
        left = {key: _remove(keys, key, metas) for key, metas in leaves.items()}
        joined = {key: _add(keys, key, metas) for key, metas in joins.items()}
        return self._changes(node, topic, joined, left)

    def replace(self, node: int, topics: Topics) -> list[Change]:
        """Take all that a node tracks, in place of what it said before; what is new."""
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
    """Add those that are not there; returns them."""
    new = _without(metas, keys.get(key, ()))
    if new:
        keys[key] = keys.get(key, []) + new
    return new


def _remove(keys: dict[str, list[Meta]], key: str, metas: Iterable[Meta]) -> list[Meta]:
    """Remove those that are there; returns them as they were."""
    known = keys.get(key, [])
    kept = _without(known, metas)
    if kept:
        keys[key] = kept
    else:
        keys.pop(key, None)
    return _without(known, kept)


def _without(metas: Iterable[Meta], others: Iterable[Meta]) -> list[Meta]:
    refs = {other["phx_ref"] for other in others}
    return [meta for meta in metas if meta["phx_ref"] not in refs]
