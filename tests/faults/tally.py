"""What a run of kills has counted, and how it is printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.steps import Step


@dataclass(slots=True)
class Tally:
    """The counts of a run. The lists of violations hold messages and must stay empty.

    Attributes:
        killed: all kills by step.
        reached: the kills for which the server had reached the step.
        promised: the tasks that were accepted with 202.
        resubmits: creates beyond the first one of a task, as counted by the server.
        unanswered: posts that got no answer because of a kill and were not repeated.
        rejoined_endings: terminal `progress` events received after a reconnect.
        late_clients: clients that joined a task after its end and received the end at once.
        billed_twice: more predictions than the server has counted creates, or more tasks than
            Idempotency-Keys.
        uploads: files that were sent and answered with 201.
        swept: files that no task used, which were deleted after a day.
        edits: completed tasks that got a file.
        texts: completed tasks that wrote a text.
        outputs: events with parts of texts that clients have received.
        unused: predictions without a task: they were billed, but the server lost them.
    """

    killed: Counter[Step] = field(default_factory=Counter)
    reached: Counter[Step] = field(default_factory=Counter)
    starts: int = 0
    promised: int = 0
    tasks: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    predictions: int = 0
    resubmits: int = 0
    unanswered: int = 0
    joins: int = 0
    rejoined_endings: int = 0
    late_clients: int = 0
    files: int = 0
    without_files: int = 0
    has_archive: bool = False
    uploads: int = 0
    swept: int = 0
    edits: int = 0
    texts: int = 0
    outputs: int = 0
    lost: list[str] = field(default_factory=list)
    billed_twice: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    missed_ends: list[str] = field(default_factory=list)
    wrong_progress: list[str] = field(default_factory=list)
    wrong_texts: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def violations(self) -> Mapping[str, Sequence[str]]:
        """The violations by name."""
        return {
            "lost": self.lost,
            "billed twice": self.billed_twice,
            "billed and not used": self.unused,
            "end not received": self.missed_ends,
            "progress wrong": self.wrong_progress,
            "text not complete or not exact": self.wrong_texts,
            "orphans after the sweep": self.orphans,
            "files or database damaged": self.damage,
            "server broken": self.broken,
        }

    @property
    def is_ok(self) -> bool:
        """True when there are no violations."""
        return not any(self.violations.values())


def summary(
    steps: Sequence[Step], tally: Tally, seconds: float, *, seed: int, kills: int
) -> dict[str, Any]:
    """The JSON line of a run."""
    return {
        "seed": seed,
        "kills_planned": kills,
        "kills": tally.killed.total(),
        "kills_by_step": {step.name.lower(): tally.killed[step] for step in steps},
        "kills_on_the_spot": {step.name.lower(): tally.reached[step] for step in steps},
        "starts": tally.starts,
        "promised": tally.promised,
        "tasks": tally.tasks,
        "completed": tally.completed,
        "failed": dict(sorted(tally.failed.items())),
        "lost": len(tally.lost),
        "predictions": tally.predictions,
        "resubmits": tally.resubmits,
        "billed_twice": len(tally.billed_twice),
        "paid_and_unused": len(tally.unused),
        "posts_unanswered": tally.unanswered,
        "joins": tally.joins,
        "rejoins_that_heard_the_end": tally.rejoined_endings,
        "late_clients_that_heard_the_end": tally.late_clients,
        "ends_not_heard": len(tally.missed_ends),
        "progress_wrong": len(tally.wrong_progress),
        "integrity": "ok" if not tally.damage else "damaged",
        "has_archive": tally.has_archive,
        "files": tally.files,
        "completed_without_files": tally.without_files,
        "uploads": tally.uploads,
        "uploads_swept": tally.swept,
        "edits": tally.edits,
        "texts": tally.texts,
        "outputs": tally.outputs,
        "texts_wrong": len(tally.wrong_texts),
        "orphans": len(tally.orphans),
        "server_broken": len(tally.broken),
        "seconds": round(seconds, 1),
    }


def table(steps: Sequence[Step], tally: Tally) -> str:
    """The table of a run, with all violations."""
    lines = [f"{'killed while':<34}{'kills':>7}{'on time':>13}"]
    lines += [f"{step.value:<34}{tally.killed[step]:>7}{tally.reached[step]:>13}" for step in steps]
    lines.append("")
    for name, violations in tally.violations.items():
        lines.append(f"{name:<34}{len(violations):>7}")
        lines += [f"    {wrong}" for wrong in violations]
    return "\n".join(lines)
