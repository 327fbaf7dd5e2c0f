"""What a client makes of presence messages: the vectors of data/presence.json, as code.

Source: phoenix 1.8.12, assets/js/phoenix/presence.js, syncState and syncDiff.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Presences = dict[str, dict[str, Any]]
"""`{key: {"metas": [{"phx_ref": …, …}, …], …}, …}`."""


class PresenceState:
    """Who is present on a channel, as its client sees it.

    Attributes:
        presences: the keys that are there, with their metas.
    """

    def __init__(self) -> None:
        self.presences: Presences = {}
        self._pending: list[Mapping[str, Presences]] | None = []

    def rejoined(self) -> None:
        """The channel was joined anew: diffs wait for its state."""
        self._pending = []

    def take_state(self, state: Presences) -> None:
        """`presence_state`: this is who is there, plus the diffs that waited for it."""
        self.presences = copy.deepcopy(state)
        pending, self._pending = self._pending, None
        for diff in pending or ():
            self._merge(diff)

    def take_diff(self, diff: Mapping[str, Presences]) -> None:
        """`presence_diff`: who came and who went."""
        if self._pending is not None:
            self._pending.append(diff)
        else:
            self._merge(diff)

    def _merge(self, diff: Mapping[str, Presences]) -> None:
        for key, new in diff["joins"].items():
            known = self.presences.get(key, {"metas": []})
            refs = _refs(new)
            kept = [meta for meta in known["metas"] if meta["phx_ref"] not in refs]
            self.presences[key] = {**copy.deepcopy(new), "metas": [*kept, *new["metas"]]}
        for key, gone in diff["leaves"].items():
            if key not in self.presences:
                continue
            refs = _refs(gone)
            present = self.presences[key]
            present["metas"] = [meta for meta in present["metas"] if meta["phx_ref"] not in refs]
            if not present["metas"]:
                del self.presences[key]


def _refs(presence: Mapping[str, Any]) -> set[str]:
    return {meta["phx_ref"] for meta in presence["metas"]}
