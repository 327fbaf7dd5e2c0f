"""Kills the server at every step of a task, restarts it, and checks that nothing was lost.

    python -m tests.faults.kills --kills 200 --seed 1

Several servers run side by side, each with its own data directory, emulator and client. At the end
every task must have ended exactly once, and every client must have received that. It prints a table
with all violations and a JSON line. The exit code is 1 when there is a violation.
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
from tests.faults.app_client import TERMINAL, AppClient
from tests.faults.server_process import HarnessError
from tests.faults.server_run import ServerRun, open_server_run
from tests.faults.steps import REACH, Step
from tests.patience import patient

SETTLE_S = 60.0
"""Reserved at the end of `max_seconds` for unfinished tasks: a lost create is searched for 30 s."""

_TOPICS = 90
_LATE_CLIENT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The parameters of a run.

    Attributes:
        steps: the steps at which the server is killed, in an order drawn from `seed`.
        servers: how many servers run side by side.
        max_seconds: no kill starts later than `settle_s` before this; afterwards the unfinished
            tasks are counted as they are.
        is_crowded: other tasks, some with faults, are posted beside the task of each step.
    """

    kills: int
    seed: int
    servers: int = 4
    steps: tuple[Step, ...] = tuple(Step)
    max_seconds: float = 360.0
    settle_s: float = SETTLE_S
    is_crowded: bool = True


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
    lost: list[str] = field(default_factory=list)
    billed_twice: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    missed_ends: list[str] = field(default_factory=list)
    wrong_progress: list[str] = field(default_factory=list)
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
            "files or database damaged": self.damage,
            "server broken": self.broken,
        }

    @property
    def is_ok(self) -> bool:
        """True when there are no violations."""
        return not any(self.violations.values())


async def run(plan: Plan, folder: Path) -> Tally:
    """Carry out a plan, with its data in `folder`."""
    tally = Tally()
    deadline_s = time.monotonic() + plan.max_seconds
    steps_to_kill_at = _kill_sequence(plan)
    async with AsyncExitStack() as stack:
        servers = []
        for number in range(plan.servers):
            below = folder / f"server_run-{number}"
            below.mkdir()
            seed = f"{plan.seed}/{number}"
            servers.append(
                await stack.enter_async_context(
                    open_server_run(below, seed, is_crowded=plan.is_crowded)
                )
            )
        server_runs = (
            _run_server(
                server_run, steps_to_kill_at[number :: plan.servers], plan, deadline_s, tally
            )
            for number, server_run in enumerate(servers)
        )
        await asyncio.gather(*server_runs)
    return tally


def _kill_sequence(plan: Plan) -> list[Step]:
    """The step of each kill: all steps in random order, repeated."""
    rng = random.Random(plan.seed)  # noqa: S311 - the order of kills, no secrets
    steps_to_kill_at: list[Step] = []
    while len(steps_to_kill_at) < plan.kills:
        steps_to_kill_at += rng.sample(plan.steps, len(plan.steps))
    return steps_to_kill_at[: plan.kills]


async def _run_server(
    server_run: ServerRun,
    steps_to_kill_at: Sequence[Step],
    plan: Plan,
    deadline_s: float,
    tally: Tally,
) -> None:
    """Run one server from its first start to the final checks."""
    try:
        await server_run.begin()
        tally.has_archive |= server_run.has_archive
        for step in steps_to_kill_at:
            if time.monotonic() > deadline_s - plan.settle_s:
                break
            await _kill_at(server_run, step, tally)
            await server_run.restart()
        await _check_tasks(server_run, deadline_s, tally)
        await _check_disk(server_run, tally)
    except (HarnessError, aiohttp.ClientError, OSError) as error:
        tally.broken.append(f"{type(error).__name__}: {error}")
    tally.starts += server_run.server.starts


async def _kill_at(server_run: ServerRun, step: Step, tally: Tally) -> None:
    if step is Step.DOWNLOADING and not server_run.has_archive:
        step = Step.ANYTIME
    is_reached = await REACH[step](server_run)
    await server_run.server.kill()
    tally.killed[step] += 1
    tally.reached[step] += is_reached
    tally.damage += await asyncio.to_thread(
        audit.damage_after_kill, server_run.server.folder, server_run.promised
    )


async def _check_tasks(server_run: ServerRun, deadline_s: float, tally: Tally) -> None:
    """Wait until all tasks have ended, and check them with GET and with late clients."""
    try:
        async with asyncio.timeout(max(deadline_s - time.monotonic(), 1.0)):
            await server_run.settled()
    except TimeoutError:
        server_run.server.check_alive()
    documents = {task["task_id"]: task for task in await server_run.documents()}
    tally.lost += [
        f"{task_id}: {documents.get(task_id, {'state': 'not there'})['state']}"
        for task_id in server_run.promised
        if documents.get(task_id, {}).get("status") not in TERMINAL
    ]
    tally.missed_ends += [
        f"{task_id}: the client never received its end" for task_id in server_run.client.unfinished
    ]
    ended = [task_id for task_id, task in documents.items() if task["status"] in TERMINAL]
    for start in range(0, len(ended), _TOPICS):
        await _check_late_client(server_run, ended[start : start + _TOPICS], documents, tally)
    _compare(server_run.client, documents, tally)
    for task in documents.values():
        if task["status"] == "failed":
            tally.failed[task["error_data"]["code"]] += 1
    keys = {task.key for task in server_run.posted}
    if server_run.has_idempotency_keys and len(documents) > len(keys):
        tally.billed_twice.append(f"{len(documents)} tasks for {len(keys)} keys")
    tally.completed += sum(task["status"] == "completed" for task in documents.values())
    tally.tasks += len(documents)
    tally.promised += len(server_run.promised)
    tally.unanswered += sum(task.task_id is None for task in server_run.posted)
    tally.joins += sum(received.joins for received in server_run.client.received.values())
    tally.rejoined_endings += sum(
        received.rejoined_endings for received in server_run.client.received.values()
    )


async def _check_late_client(
    server_run: ServerRun, task_ids: Sequence[str], documents: Mapping[str, Any], tally: Tally
) -> None:
    async with server_run.another_client() as client:
        for task_id in task_ids:
            await client.watch(task_id)
        try:
            async with asyncio.timeout(patient(_LATE_CLIENT_S)):
                await client.all_ended()
        except TimeoutError:
            tally.missed_ends += [
                f"{task_id}: a late client did not receive its end" for task_id in client.unfinished
            ]
        _compare(client, documents, tally)
        tally.late_clients += len(task_ids) - len(client.unfinished)


def _compare(client: AppClient, documents: Mapping[str, Any], tally: Tally) -> None:
    """The received events must match the responses of GET."""
    tally.wrong_progress += client.violations
    for task_id, received in client.received.items():
        if received.terminal is None or task_id not in documents:
            continue
        payload, task = dict(received.terminal), documents[task_id]
        keys = ("task_id", "status", "progress", "result_data", "error_data")
        expected = {key: task[key] for key in keys if key in task}
        if payload != {**expected, "timestamp": task["updated_at"]}:
            tally.wrong_progress.append(
                f"{task_id}: received {payload}, but GET returns {expected}"
            )


async def _check_disk(server_run: ServerRun, tally: Tally) -> None:
    """Stop the server with SIGTERM, and check its log, its disk and the provider."""
    code = await server_run.server.stop()
    if code != 0:
        tally.broken.append(f"the server stopped with exit code {code} after SIGTERM")
    tally.broken += await asyncio.to_thread(server_run.server.logged_errors)
    folder = server_run.server.folder
    (path,) = folder.glob("*.sqlite3")
    tally.damage += await asyncio.to_thread(audit.damage, path, server_run.promised)
    rows = await asyncio.to_thread(audit.rows, path)
    done = [row for row in rows.values() if row.status == "completed"]
    tally.without_files += sum(not row.files for row in done)
    named = [sha256 for row in rows.values() for sha256 in row.files]
    files, problems = await asyncio.to_thread(audit.damaged_files, folder, named)
    tally.files += files
    tally.damage += problems
    tally.resubmits += sum(max(row.attempts - 1, 0) for row in rows.values())
    _check_billing(server_run, rows, tally)


def _check_billing(server_run: ServerRun, rows: Mapping[str, audit.Row], tally: Tally) -> None:
    billed = server_run.billed()
    tally.predictions += billed.total()
    declared: Counter[str] = Counter()
    for row in rows.values():
        declared[row.prompt] += row.attempts
    tally.billed_twice += [
        f"{count} predictions for {prompt!r}, {declared[prompt]} counted by the server"
        for prompt, count in billed.items()
        if count > declared[prompt]
    ]
    used = {row.prediction_id for row in rows.values()}
    tally.unused += [
        f"{prediction.id} for {prediction.prompt!r}" for prediction in server_run.unused(used)
    ]


def summary(plan: Plan, tally: Tally, seconds: float) -> dict[str, Any]:
    """The JSON line of a run."""
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
        "late_clients_that_heard_the_end": tally.late_clients,
        "ends_not_heard": len(tally.missed_ends),
        "progress_wrong": len(tally.wrong_progress),
        "integrity": "ok" if not tally.damage else "damaged",
        "has_archive": tally.has_archive,
        "files": tally.files,
        "completed_without_files": tally.without_files,
        "server_broken": len(tally.broken),
        "seconds": round(seconds, 1),
    }


def _table(plan: Plan, tally: Tally) -> str:
    lines = [f"{'killed while':<34}{'kills':>7}{'on time':>13}"]
    lines += [
        f"{step.value:<34}{tally.killed[step]:>7}{tally.reached[step]:>13}" for step in plan.steps
    ]
    lines.append("")
    for name, violations in tally.violations.items():
        lines.append(f"{name:<34}{len(violations):>7}")
        lines += [f"    {wrong}" for wrong in violations]
    return "\n".join(lines)


@click.command()
@click.option("--kills", default=200, show_default=True, help="Number of kills.")
@click.option("--seed", default=1, show_default=True, help="Seed for the order of the kills.")
@click.option("--servers", default=4, show_default=True, help="Number of servers side by side.")
@click.option("--max-seconds", default=360.0, show_default=True, help="Time limit of the run.")
@click.option(
    "--step",
    "names",
    multiple=True,
    type=click.Choice([step.name.lower() for step in Step]),
    help="Kill only at this step; repeatable.  [all]",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps the data and the logs of the servers.  [a temporary one]",
)
def main(
    *,
    kills: int,
    seed: int,
    servers: int,
    max_seconds: float,
    names: tuple[str, ...],
    keep: Path | None,
) -> None:
    """Kill the server at every step of a task, and check that nothing was lost."""
    steps = tuple(Step[name.upper()] for name in names) or tuple(Step)
    plan = Plan(kills=kills, seed=seed, servers=servers, steps=steps, max_seconds=max_seconds)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        tally = asyncio.run(_run_until_signal(plan, keep or Path(temporary)))
    click.echo(_table(plan, tally))
    click.echo(json.dumps(summary(plan, tally, time.monotonic() - began_s)))
    sys.exit(0 if tally.is_ok else 1)


async def _run_until_signal(plan: Plan, folder: Path) -> Tally:
    """Like `run`, and SIGTERM ends it like Ctrl-C. Both stop the servers."""
    task = asyncio.create_task(run(plan, folder))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise click.Abort from None


if __name__ == "__main__":
    main()
