"""Records made by hand, for rules to judge."""

from __future__ import annotations

from typing import Any

from phoenix_compat.conformance.faults.record import Entry, Kind
from phoenix_compat.conformance.faults.record_view import Finding, RecordView
from phoenix_compat.conformance.faults.scenarios import SCENARIOS, Scenario

BY_ID = {scenario.id.removeprefix("client/"): scenario for scenario in SCENARIOS}


class Tale:
    """What a client did in one scenario, told line by line; time passes between lines as told."""

    def __init__(self, name: str) -> None:
        self.scenario: Scenario = BY_ID[name]
        self._entries: list[Entry] = []
        self._now_s = 0.0
        self._connection = 0
        self._ref = 0

    def add(self, kind: Kind, **fields: Any) -> Tale:
        """Any line."""
        number = len(self._entries) + 1
        connection = fields.pop("connection", self._connection)
        self._entries.append(Entry(number, self._now_s, kind, connection, **fields))
        return self

    def wait(self, seconds: float) -> Tale:
        """Time passes."""
        self._now_s += seconds
        return self

    def attempt(self, refused: int | None = None) -> Tale:
        """The client tries to connect."""
        self._connection += 1
        self.add(Kind.ATTEMPT)
        return self.add(Kind.OPENED) if refused is None else self.add(Kind.REFUSED, code=refused)

    def says(self, event: str, payload: Any = None, join_ref: Any = None, **fields: Any) -> Tale:
        """The client sends a message on the scenario's topic."""
        self._ref += 1
        fields = {"topic": self.scenario.topic, "ref": str(self._ref), **fields}
        return self.add(
            Kind.RECEIVED, event=event, join_ref=join_ref, payload=payload or {}, **fields
        )

    def joins(self, join_ref: str = "1") -> Tale:
        """The client joins the scenario's topic."""
        return self.says("phx_join", join_ref=join_ref)

    def comes(self, join_ref: str = "1") -> Tale:
        """The client connects and joins."""
        return self.attempt().joins(join_ref)

    def beats(self) -> Tale:
        """The client sends a heartbeat."""
        return self.says("heartbeat", topic="phoenix")

    def heard(self, **payload: Any) -> Tale:
        """The app says what it heard."""
        return self.says("heard", payload, join_ref="1")

    def strike(self) -> Tale:
        """The scenario's fault strikes."""
        return self.add(Kind.STRUCK, topic=self.scenario.topic)

    def ends(self) -> Tale:
        """The connection is over."""
        return self.add(Kind.ENDED)

    def judged(self, *, is_final: bool = False) -> Finding:
        """What the scenario's rule finds now."""
        scenario = self.scenario
        story = RecordView(
            scenario.topic, self._entries, self._now_s, is_final, patience_s=scenario.patience_s
        )
        return scenario.rule(story)
