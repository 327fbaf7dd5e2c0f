"""What must hold after every fault, counted from the store, the provider and the apps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from tests.faults.app_client import TERMINAL
from tests.faults.nodes.installation import Installation
from tests.faults.nodes.traffic import Traffic, without_end

MAX_TAKEOVER_S: Final = 45.0
MAX_REFUSAL_S: Final = 5.0

_ROWS: Final = "SELECT id, status, attempts, prediction_id, input::text AS input FROM tasks"
_ENDS: Final = """
SELECT task_id, count(*) FROM events WHERE event IN ('completed', 'failed')
GROUP BY task_id HAVING count(*) <> 1
"""


@dataclass(slots=True)
class Outcome:
    """The counts of one run. The lists hold sentences and must stay empty.

    Attributes:
        faults: how often each thing was done to the nodes and services.
        takeovers_s: after each kill, until other nodes had all tasks of the killed one.
        creates: creates beyond the first one of a task, as counted by the server.
        heard: ends that apps have received.
        repeats: posts that were sent again.
    """

    faults: Counter[str] = field(default_factory=Counter)
    takeovers_s: list[float] = field(default_factory=list)
    tasks: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    creates: int = 0
    predictions: int = 0
    heard: int = 0
    repeats: int = 0
    refusals: Counter[int] = field(default_factory=Counter)
    slowest_refusal_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    billed_twice: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    not_heard: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def violations(self) -> Mapping[str, Sequence[str]]:
        """The violations by name."""
        return {
            "lost": self.lost,
            "billed twice": self.billed_twice,
            "billed and not used": self.unused,
            "end not received": self.not_heard,
            "received what contradicts the store": self.contradictions,
            "tasks without exactly one end": self.ends,
            "too late": self.late,
            "node broken": self.broken,
        }

    @property
    def is_ok(self) -> bool:
        """Whether there are no violations."""
        return not any(self.violations.values())

    def note_takeover(self, seconds: float, limit_s: float = MAX_TAKEOVER_S) -> None:
        """Count how long a takeover took, in seconds."""
        self.takeovers_s.append(seconds)
        if seconds > limit_s:
            self.late.append(f"a takeover took {seconds:.1f} s")

    async def check(self, installation: Installation, traffic: Traffic) -> None:
        """Compare what the store, the provider and the apps have."""
        connection = await asyncpg.connect(installation.services.postgres.url)
        try:
            rows = {row["id"]: row for row in await connection.fetch(_ROWS)}
            self.ends += [
                f"{task} has {count} ends" for task, count in await connection.fetch(_ENDS)
            ]
        finally:
            await connection.close()
        self._check_tasks(rows, traffic)
        self._check_bill(rows, installation)
        self._check_apps(rows, traffic)

    def _check_tasks(self, rows: Mapping[str, Any], traffic: Traffic) -> None:
        self.tasks += len(rows)
        for row in rows.values():
            self.creates += max(row["attempts"] - 1, 0)
            if row["status"] == "completed":
                self.completed += 1
        for posted in traffic.posted:
            self.repeats += posted.repeats
            row = rows.get(posted.task_id or "")
            status = "missing" if row is None else row["status"]
            if status not in TERMINAL:
                self.lost.append(f"{posted.task_id} is {status}")
        if len(rows) > len(traffic.posted):
            self.billed_twice.append(f"{len(rows)} tasks for {len(traffic.posted)} keys")
        self.refusals += traffic.refusals
        self.slowest_refusal_s = max(self.slowest_refusal_s, traffic.slowest_refusal_s)
        if traffic.without_retry_after:
            self.late.append(f"{traffic.without_retry_after} answers 503 without Retry-After")

    def _check_bill(self, rows: Mapping[str, Any], installation: Installation) -> None:
        predictions = list(installation.emulator.state.predictions)
        self.predictions += len(predictions)
        billed = Counter(prediction.prompt for prediction in predictions)
        declared = {json.loads(row["input"])["prompt"]: row["attempts"] for row in rows.values()}
        self.billed_twice += [
            f"{count} predictions for {prompt!r}, {declared.get(prompt, 0)} counted by the nodes"
            for prompt, count in billed.items()
            if count > declared.get(prompt, 0)
        ]
        used = {row["prediction_id"] for row in rows.values()}
        self.unused += [f"{one.id} for {one.prompt!r}" for one in predictions if one.id not in used]

    def _check_apps(self, rows: Mapping[str, Any], traffic: Traffic) -> None:
        self.not_heard += without_end(traffic.apps)
        for app in traffic.apps:
            self.contradictions += app.violations
            for task_id, received in app.received.items():
                if received.terminal is None:
                    continue
                self.heard += 1
                status = rows[task_id]["status"] if task_id in rows else "missing"
                if received.terminal["status"] == "failed":
                    self.failed[received.terminal["error_data"]["code"]] += 1
                if received.terminal["status"] != status:
                    heard = received.terminal["status"]
                    self.contradictions.append(f"{task_id}: heard {heard}, the store has {status}")

    def summary(self, seconds: float, *, fault: str, seed: int) -> dict[str, Any]:
        """The JSON line of a run."""
        return {
            "fault": fault,
            "seed": seed,
            "done": dict(self.faults),
            "tasks": self.tasks,
            "completed": self.completed,
            "failed": dict(sorted(self.failed.items())),
            "predictions": self.predictions,
            "creates_repeated": self.creates,
            "posts_repeated": self.repeats,
            "refusals": {str(status): count for status, count in sorted(self.refusals.items())},
            "slowest_503_s": round(self.slowest_refusal_s, 2),
            "heard": self.heard,
            "takeovers": len(self.takeovers_s),
            "slowest_takeover_s": round(max(self.takeovers_s, default=0.0), 1),
            **{name.replace(" ", "_"): len(found) for name, found in self.violations.items()},
            "seconds": round(seconds, 1),
        }


def table(outcome: Outcome) -> str:
    """All violations, by name."""
    lines = []
    for name, found in outcome.violations.items():
        lines.append(f"{name:<38}{len(found):>6}")
        lines += [f"    {one}" for one in found[:20]]
    return "\n".join(lines)
