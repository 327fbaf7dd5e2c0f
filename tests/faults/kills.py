"""Kills the server at every step of a task's life, starts it again, and counts what was kept.

    python -m tests.faults.kills --kills 200 --seed 1

Several servers, each with a data directory, an emulator and a client of its own, are killed and
started again side by side. At the end all tasks must have ended, once, and every client must know.
Prints a table, what is wrong if anything is, and a JSON line; exit code 1 when a count is wrong.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import click

from tests.faults import audit
from tests.faults.app_client import TERMINAL, Phone
from tests.faults.server_run import Lane, open_lane
from tests.faults.steps import REACH, Step
from tests.faults.victim import HarnessError
from tests.patience import patient

SETTLE_S = 60.0
"""Kept at the end of `max_seconds` for what is unfinished: a lost order is looked for for 30 s."""

_TOPICS = 90
_LAST_CALL_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do.

    Attributes:
        steps: the steps at which the server is killed, in turns drawn from `seed`.
        lanes: servers side by side.
        max_seconds: no kill is begun later than `settle_s` before this; then the rest is counted
            as it stands.
        is_crowded: other orders, with troubles of their own, go beside the one that counts.
    """

    kills: int
    seed: int
    lanes: int = 4
    steps: tuple[Step, ...] = tuple(Step)
    max_seconds: float = 360.0
    settle_s: float = SETTLE_S
    is_crowded: bool = True


@dataclass(slots=True)
class Tally:
    """Everything that is counted. The wrongs are in words; all of them must stay empty.

    Attributes:
        reached: kills by step, of those that hit their moment; `killed` counts all.
        resubmits: creates beyond the first of a task, by the server's own count.
        unanswered: posts to which the kill left no answer, and that were not sent again.
        rejoined_endings: terminal `progress` heard on a connection that was not the first.
        last_calls: clients that joined after everything, and heard the end at once.
        billed_twice: more predictions than creates the server says it may have sent, or more
            tasks than orders had Idempotency-Keys.
        unused: predictions that no task has: paid for, and made again or given up though they
            could be found.
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
    last_calls: int = 0
    files: int = 0
    without_files: int = 0
    has_archive: bool = False
    lost: list[str] = field(default_factory=list)
    billed_twice: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    wrong_progress: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def wrongs(self) -> Mapping[str, Sequence[str]]:
        """What must not be, by name."""
        return {
            "lost": self.lost,
            "billed twice": self.billed_twice,
            "paid for and not used": self.unused,
            "end not heard": self.unheard,
            "progress wrong": self.wrong_progress,
            "files or database damaged": self.damage,
            "server broken": self.broken,
        }

    @property
    def is_right(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.wrongs.values())


async def run(plan: Plan, folder: Path) -> Tally:
    """Carry a plan out, with its data below `folder`."""
    tally = Tally()
    ends_at_s = time.monotonic() + plan.max_seconds
    turns = _turns(plan)
    async with AsyncExitStack() as stack:
        lanes = []
        for number in range(plan.lanes):
            below = folder / f"lane-{number}"
            below.mkdir()
            seed = f"{plan.seed}/{number}"
            lanes.append(
                await stack.enter_async_context(open_lane(below, seed, is_crowded=plan.is_crowded))
            )
        lives = (
            _live(lane, turns[number :: plan.lanes], plan, ends_at_s, tally)
            for number, lane in enumerate(lanes)
        )
        await asyncio.gather(*lives)
    return tally


def _turns(plan: Plan) -> list[Step]:
    """A step for each kill: all of them, shuffled, again and again."""
    dice = random.Random(plan.seed)  # noqa: S311 - when to kill, no secrets
    turns: list[Step] = []
    while len(turns) < plan.kills:
        turns += dice.sample(plan.steps, len(plan.steps))
    return turns[: plan.kills]


async def _live(
    lane: Lane, turns: Sequence[Step], plan: Plan, ends_at_s: float, tally: Tally
) -> None:
    """A lane from its first start to the last count."""
    try:
        await lane.begin()
        tally.has_archive |= lane.has_archive
        for step in turns:
            if time.monotonic() > ends_at_s - plan.settle_s:
                break
            await _kill_at(lane, step, tally)
            await lane.revive()
        await _settle(lane, ends_at_s, tally)
        await _count(lane, tally)
    except (HarnessError, aiohttp.ClientError, OSError) as error:
        tally.broken.append(f"{type(error).__name__}: {error}")
    tally.starts += lane.victim.starts


async def _kill_at(lane: Lane, step: Step, tally: Tally) -> None:
    if step is Step.DOWNLOADING and not lane.has_archive:
        step = Step.ANYTIME
    is_reached = await REACH[step](lane)
    await lane.victim.kill()
    tally.killed[step] += 1
    tally.reached[step] += is_reached
    tally.damage += await asyncio.to_thread(
        audit.damage_after_kill, lane.victim.folder, lane.promised
    )


async def _settle(lane: Lane, ends_at_s: float, tally: Tally) -> None:
    """Let everything end, and hear it from a client that was never there before."""
    try:
        async with asyncio.timeout(max(ends_at_s - time.monotonic(), 1.0)):
            await lane.settled()
    except TimeoutError:
        lane.victim.check_alive()
    documents = {task["task_id"]: task for task in await lane.documents()}
    tally.lost += [
        f"{task_id}: {documents.get(task_id, {'state': 'not there'})['state']}"
        for task_id in lane.promised
        if documents.get(task_id, {}).get("status") not in TERMINAL
    ]
    tally.unheard += [
        f"{task_id}: our client never heard its end" for task_id in lane.phone.unfinished
    ]
    ended = [task_id for task_id, task in documents.items() if task["status"] in TERMINAL]
    for start in range(0, len(ended), _TOPICS):
        await _call_last(lane, ended[start : start + _TOPICS], documents, tally)
    _compare(lane.phone, documents, tally)
    for task in documents.values():
        if task["status"] == "failed":
            tally.failed[task["error_data"]["code"]] += 1
    keys = {order.key for order in lane.orders}
    if lane.has_keys and len(documents) > len(keys):
        tally.billed_twice.append(f"{len(documents)} tasks came of {len(keys)} keys")
    tally.completed += sum(task["status"] == "completed" for task in documents.values())
    tally.tasks += len(documents)
    tally.promised += len(lane.promised)
    tally.unanswered += sum(order.task_id is None for order in lane.orders)
    tally.joins += sum(heard.joins for heard in lane.phone.heard.values())
    tally.rejoined_endings += sum(heard.rejoined_endings for heard in lane.phone.heard.values())


async def _call_last(
    lane: Lane, task_ids: Sequence[str], documents: Mapping[str, Any], tally: Tally
) -> None:
    async with lane.another_phone() as phone:
        for task_id in task_ids:
            await phone.watch(task_id)
        try:
            async with asyncio.timeout(patient(_LAST_CALL_S)):
                await phone.all_ended()
        except TimeoutError:
            tally.unheard += [
                f"{task_id}: a late client heard no end" for task_id in phone.unfinished
            ]
        _compare(phone, documents, tally)
        tally.last_calls += len(task_ids) - len(phone.unfinished)


def _compare(phone: Phone, documents: Mapping[str, Any], tally: Tally) -> None:
    """What was heard must be what GET says."""
    tally.wrong_progress += phone.wrongs
    for task_id, heard in phone.heard.items():
        if heard.terminal is None or task_id not in documents:
            continue
        told, task = dict(heard.terminal), documents[task_id]
        keys = ("task_id", "status", "progress", "result_data", "error_data")
        wanted = {key: task[key] for key in keys if key in task}
        if told != {**wanted, "timestamp": task["updated_at"]}:
            tally.wrong_progress.append(f"{task_id}: heard {told}, but GET says {wanted}")


async def _count(lane: Lane, tally: Tally) -> None:
    """End the server in good order, and read what is on disk and at the provider."""
    code = await lane.victim.stop()
    if code != 0:
        tally.broken.append(f"SIGTERM ended the server with exit code {code}")
    tally.broken += await asyncio.to_thread(lane.victim.complaints)
    folder = lane.victim.folder
    (path,) = folder.glob("*.sqlite3")
    tally.damage += await asyncio.to_thread(audit.damage, path, lane.promised)
    rows = await asyncio.to_thread(audit.rows, path)
    done = [row for row in rows.values() if row.status == "completed"]
    tally.without_files += sum(not row.files for row in done)
    wanted = [sha256 for row in rows.values() for sha256 in row.files]
    files, problems = await asyncio.to_thread(audit.damaged_files, folder, wanted)
    tally.files += files
    tally.damage += problems
    tally.resubmits += sum(max(row.attempts - 1, 0) for row in rows.values())
    _count_bills(lane, rows, tally)


def _count_bills(lane: Lane, rows: Mapping[str, audit.Row], tally: Tally) -> None:
    billed = lane.billed()
    tally.predictions += billed.total()
    declared: Counter[str] = Counter()
    for task_id, row in rows.items():
        declared[lane.prompts[task_id]] += row.attempts
    tally.billed_twice += [
        f"{count} predictions for {prompt!r}, {declared[prompt]} declared"
        for prompt, count in billed.items()
        if count > declared[prompt]
    ]
    taken = {row.prediction_id for row in rows.values()}
    tally.unused += [
        f"{prediction.id} for {prediction.prompt!r}" for prediction in lane.unused(taken)
    ]


def summary(plan: Plan, tally: Tally, seconds: float) -> dict[str, Any]:
    """The JSON line."""
    return {
        "seed": plan.seed,
        "kills_planned": plan.kills,
        "kills": tally.killed.total(),
        "kills_by_step": {step.name.lower(): tally.killed[step] for step in plan.steps},
        "kills_on_the_spot": {step.name.lower(): tally.reached[step] for step in plan.steps},
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
        "late_clients_that_heard_the_end": tally.last_calls,
        "ends_not_heard": len(tally.unheard),
        "progress_wrong": len(tally.wrong_progress),
        "integrity": "ok" if not tally.damage else "damaged",
        "has_archive": tally.has_archive,
        "files": tally.files,
        "completed_without_files": tally.without_files,
        "server_broken": len(tally.broken),
        "seconds": round(seconds, 1),
    }


def _table(plan: Plan, tally: Tally) -> str:
    lines = [f"{'killed':<34}{'kills':>7}{'on the spot':>13}"]
    lines += [
        f"{step.value:<34}{tally.killed[step]:>7}{tally.reached[step]:>13}" for step in plan.steps
    ]
    lines.append("")
    for name, wrongs in tally.wrongs.items():
        lines.append(f"{name:<34}{len(wrongs):>7}")
        lines += [f"    {wrong}" for wrong in wrongs]
    return "\n".join(lines)


@click.command()
@click.option("--kills", default=200, show_default=True, help="How often the server is killed.")
@click.option("--seed", default=1, show_default=True, help="Makes the order of kills repeat.")
@click.option("--lanes", default=4, show_default=True, help="Servers side by side.")
@click.option("--max-seconds", default=360.0, show_default=True, help="Then it is counted.")
@click.option(
    "--step",
    "names",
    multiple=True,
    type=click.Choice([step.name.lower() for step in Step]),
    help="Only at this step; may be repeated.  [all]",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="An empty folder for the data and the servers' logs.  [a temporary one]",
)
def main(
    *,
    kills: int,
    seed: int,
    lanes: int,
    max_seconds: float,
    names: tuple[str, ...],
    keep: Path | None,
) -> None:
    """Kill the server at every step of a task's life, and count what was kept."""
    steps = tuple(Step[name.upper()] for name in names) or tuple(Step)
    plan = Plan(kills=kills, seed=seed, lanes=lanes, steps=steps, max_seconds=max_seconds)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        tally = asyncio.run(_run_until_signal(plan, keep or Path(temporary)))
    click.echo(_table(plan, tally))
    click.echo(json.dumps(summary(plan, tally, time.monotonic() - began_s)))
    sys.exit(0 if tally.is_right else 1)


async def _run_until_signal(plan: Plan, folder: Path) -> Tally:
    """Like `run`; SIGTERM ends it as Ctrl-C does, and neither leaves a server behind."""
    task = asyncio.create_task(run(plan, folder))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise click.Abort from None


if __name__ == "__main__":
    main()
