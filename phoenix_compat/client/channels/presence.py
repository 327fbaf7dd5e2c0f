"""Who is present on a channel, kept up to date from `presence_state` and `presence_diff`.

Source: phoenix.js 1.8, presence.js. As there, the meta of a presence are told apart by `phx_ref`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from phoenix_compat.client.callbacks import Callbacks, Remove
from phoenix_compat.client.channels.channel import ClientChannel
from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.options import ClientLimits

Entry: TypeAlias = dict[str, Any]
"""One presence: `metas` is a list of dicts, each with a `phx_ref`; the server may add more keys."""
State: TypeAlias = dict[str, Entry]
OnJoin: TypeAlias = Callable[[str, Entry | None, Entry], object]
"""Called with the key, the presence before, if any, and the new one, with its new metas."""
OnLeave: TypeAlias = Callable[[str, Entry, Entry], object]
"""Called with the key, what remains of the presence, and what has left."""

T = TypeVar("T")


class Presence:
    """The presences of a channel.

    Create it before `join`, so that it sees the first `presence_state`.

    Args:
        channel: the channel; its two presence events are then not in `async for`.
        state_event: the event of the whole state.
        diff_event: the event of a change.

    Attributes:
        state: the presences by their key.
    """

    def __init__(
        self,
        channel: ClientChannel,
        *,
        state_event: str = "presence_state",
        diff_event: str = "presence_diff",
    ) -> None:
        self.state: State = {}
        self._channel = channel
        self._join_ref: str | None = None
        self._counters: ClientCounters = channel.counters
        limits: ClientLimits = channel.limits
        self._pending: deque[Any] = deque()
        self._max_pending = limits.max_pending_diffs
        self._on_join = Callbacks(self._counters)
        self._on_leave = Callbacks(self._counters)
        self._on_sync = Callbacks(self._counters)
        channel.on(state_event, self._receive_state)
        channel.on(diff_event, self._receive_diff)

    def on_join(self, callback: OnJoin) -> Remove:
        """Call back for each presence that gains metas; returns what removes the callback."""
        return self._on_join.add(callback)

    def on_leave(self, callback: OnLeave) -> Remove:
        """Call back for each presence that loses metas; without metas it is gone."""
        return self._on_leave.add(callback)

    def on_sync(self, callback: Callable[[], object]) -> Remove:
        """Call back after each change of the state."""
        return self._on_sync.add(callback)

    def list(self) -> list[tuple[str, Entry]]:
        """The keys and presences, in the order in which they came."""
        return list_presences(self.state, lambda key, entry: (key, entry))

    @property
    def is_pending(self) -> bool:
        """Whether no state came since the last join; until then diffs are kept."""
        return self._join_ref is None or self._join_ref != self._channel.join_ref

    def _receive_state(self, new: Any) -> None:
        if not _is_state(new):
            self._counters.messages_unreadable += 1
            return
        self._join_ref = self._channel.join_ref
        self.state = sync_state(self.state, new, self._on_join.call, self._on_leave.call)
        pending, self._pending = self._pending, deque()
        for diff in pending:
            self._apply(diff)
        self._on_sync.call()

    def _receive_diff(self, diff: Any) -> None:
        is_diff = isinstance(diff, dict) and all(
            _is_state(diff.get(side)) for side in ("joins", "leaves")
        )
        if not is_diff:
            self._counters.messages_unreadable += 1
        elif self.is_pending:
            self._pending.append(diff)
            if len(self._pending) > self._max_pending:
                self._pending.popleft()
                self._counters.diffs_dropped += 1
        else:
            self._apply(diff)
            self._on_sync.call()

    def _apply(self, diff: Any) -> None:
        self.state = sync_diff(self.state, diff, self._on_join.call, self._on_leave.call)


def sync_state(
    state: State,
    new: State,
    on_join: OnJoin | None = None,
    on_leave: OnLeave | None = None,
) -> State:
    """The state after the server has sent all of it: what is missing there has left.

    Source: phoenix.js 1.8, presence.js, syncState.
    """
    joins: State = {}
    leaves = {key: entry for key, entry in state.items() if key not in new}
    for key, entry in new.items():
        current = state.get(key)
        if current is None:
            joins[key] = entry
            continue
        joined = _without(entry["metas"], current["metas"])
        left = _without(current["metas"], entry["metas"])
        if joined:
            joins[key] = {**entry, "metas": joined}
        if left:
            leaves[key] = {**current, "metas": left}
    return sync_diff(state, {"joins": joins, "leaves": leaves}, on_join, on_leave)


def sync_diff(
    state: State,
    diff: dict[str, State],
    on_join: OnJoin | None = None,
    on_leave: OnLeave | None = None,
) -> State:
    """The state after a change: joins first, then leaves. The given state stays as it is.

    Source: phoenix.js 1.8, presence.js, syncDiff.
    """
    changed = dict(state)
    for key, joined in diff["joins"].items():
        current = changed.get(key)
        kept = [] if current is None else _without(current["metas"], joined["metas"])
        changed[key] = {**joined, "metas": [*kept, *joined["metas"]]}
        if on_join is not None:
            on_join(key, current, joined)
    for key, left in diff["leaves"].items():
        before = changed.get(key)
        if before is None:
            continue
        remaining = {**before, "metas": _without(before["metas"], left["metas"])}
        changed[key] = remaining
        if on_leave is not None:
            on_leave(key, remaining, left)
        if not remaining["metas"]:
            del changed[key]
    return changed


def list_presences(state: State, choose: Callable[[str, Entry], T]) -> list[T]:
    """What `choose` makes of each key and presence."""
    return [choose(key, entry) for key, entry in state.items()]


def _without(metas: list[Entry], others: list[Entry]) -> list[Entry]:
    """The metas whose phx_ref the others do not have."""
    refs = [meta.get("phx_ref") for meta in others]
    return [meta for meta in metas if meta.get("phx_ref") not in refs]


def _is_state(value: Any) -> bool:
    """Whether it has the form of a state, as a server must send it."""
    return isinstance(value, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("metas"), list)
        and all(isinstance(meta, dict) for meta in entry["metas"])
        for entry in value.values()
    )
