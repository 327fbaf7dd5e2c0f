"""Merges presence messages as a client does; data/presence.json tests it.

Source: phoenix 1.8.12, assets/js/phoenix/presence.js, syncState and syncDiff.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Presences = dict[str, dict[str, Any]]
"""`{key: {"metas": [{"phx_ref": …, …}, …], …}, …}`."""


class PresenceState:
    """The presences of a channel, as a client sees them.

    Attributes:
        presences: the present keys with their metas.
    """

    def __init__(self) -> None:
        self.presences: Presences = {}
        self._pending: list[Mapping[str, Presences]] | None = []

    def rejoined(self) -> None:
        """The channel was joined again: keep diffs until its state arrives."""
        self._pending = []

    def take_state(self, state: Presences) -> None:
        """Handle `presence_state`: replace the presences, then merge the diffs that came before."""
        self.presences = copy.deepcopy(state)
        pending, self._pending = self._pending, None
        for diff in pending or ():
            self._merge(diff)

    def take_diff(self, diff: Mapping[str, Presences]) -> None:
        """Handle `presence_diff`: merge joins and leaves, or keep them until the state arrives."""
        if self._pending is not None:
            self._pending.append(diff)
        else:
            self._merge(diff)

    def _merge(self, diff: Mapping[str, Presences]) -> None:
        for key, new in diff["joins"].items():
            known = self.presences.get(key, {"metas": []})
            refs = _refs(new)
            metas = [meta for meta in known["metas"] if meta["phx_ref"] not in refs]
            self.presences[key] = {**copy.deepcopy(new), "metas": [*metas, *new["metas"]]}
        for key, left in diff["leaves"].items():
            if key not in self.presences:
                continue
            refs = _refs(left)
            present = self.presences[key]
            present["metas"] = [meta for meta in present["metas"] if meta["phx_ref"] not in refs]
            if not present["metas"]:
                del self.presences[key]


def _refs(presence: Mapping[str, Any]) -> set[str]:
    return {meta["phx_ref"] for meta in presence["metas"]}
