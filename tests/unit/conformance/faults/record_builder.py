"""Builds records of a client, for the rules to judge."""

from __future__ import annotations

from typing import Any

from phoenix_compat.conformance.faults.record import Entry, EntryKind
from phoenix_compat.conformance.faults.record_view import Finding, RecordView
from phoenix_compat.conformance.faults.scenario import Scenario
from phoenix_compat.conformance.faults.scenarios import SCENARIOS

BY_ID = {scenario.id.removeprefix("client/"): scenario for scenario in SCENARIOS}


class RecordBuilder:
    """Builds the record of one scenario, entry by entry; `wait` moves the time on."""

    def __init__(self, name: str) -> None:
        self.scenario: Scenario = BY_ID[name]
        self._entries: list[Entry] = []
        self._now_s = 0.0
        self._connection = 0
        self._ref = 0

    def add(self, kind: EntryKind, **fields: Any) -> RecordBuilder:
        """Add an entry."""
        number = len(self._entries) + 1
        connection = fields.pop("connection", self._connection)
        self._entries.append(Entry(number, self._now_s, kind, connection, **fields))
        return self

    def wait(self, wait_s: float) -> RecordBuilder:
        """Let time pass."""
        self._now_s += wait_s
        return self

    def attempt(self, refused: int | None = None) -> RecordBuilder:
        """The client tries to connect, and may be refused."""
        self._connection += 1
        self.add(EntryKind.ATTEMPT)
        return (
            self.add(EntryKind.OPENED)
            if refused is None
            else self.add(EntryKind.REFUSED, code=refused)
        )

    def sends(
        self, event: str, payload: Any = None, join_ref: Any = None, **fields: Any
    ) -> RecordBuilder:
        """The client sends a message on the scenario's topic."""
        self._ref += 1
        fields = {"topic": self.scenario.topic, "ref": str(self._ref), **fields}
        return self.add(
            EntryKind.RECEIVED, event=event, join_ref=join_ref, payload=payload or {}, **fields
        )

    def joins(self, join_ref: str = "1") -> RecordBuilder:
        """The client joins the scenario's topic."""
        return self.sends("phx_join", join_ref=join_ref)

    def connects_and_joins(self, join_ref: str = "1") -> RecordBuilder:
        """The client connects and joins."""
        return self.attempt().joins(join_ref)

    def sends_heartbeat(self) -> RecordBuilder:
        """The client sends a heartbeat."""
        return self.sends("heartbeat", topic="phoenix")

    def heard(self, **payload: Any) -> RecordBuilder:
        """The app reports what it received."""
        return self.sends("heard", payload, join_ref="1")

    def strike(self) -> RecordBuilder:
        """The scenario's fault strikes."""
        return self.add(EntryKind.STRUCK, topic=self.scenario.topic)

    def ends(self) -> RecordBuilder:
        """The connection ends."""
        return self.add(EntryKind.ENDED)

    def finding(self, *, is_final: bool = False) -> Finding:
        """The finding of the scenario's rule on the record so far."""
        scenario = self.scenario
        view = RecordView(
            scenario.topic, self._entries, self._now_s, is_final, timeout_s=scenario.timeout_s
        )
        return scenario.rule(view)
