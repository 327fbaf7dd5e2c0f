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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import click

from tests.faults import audit
from tests.faults.app_client import TERMINAL, AppClient
from tests.faults.server_process import HarnessError
from tests.faults.server_run import ServerRun, open_server_run
from tests.faults.steps import REACH, Step
from tests.faults.tally import Tally, summary, table
from tests.patience import patient

SETTLE_S = 100.0
"""Reserved at the end of `max_seconds` for unfinished tasks: a lost create is searched for 30 s.
Its repeat may hang for 20 s, and be searched for too."""

_TOPICS = 90
_LATE_CLIENT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The parameters of a run.

    Attributes:
        steps: the steps at which the server is killed, in an order drawn from `seed`.
        servers: how many servers run side by side.
        max_seconds: no kill starts later than `settle_s` before this; on a busy machine the
            unfinished tasks have longer, and are then counted as they are.
        is_crowded: other tasks, some with faults, are posted beside the task of each step.
    """

    kills: int
    seed: int
    servers: int = 4
    steps: tuple[Step, ...] = tuple(Step)
    max_seconds: float = 400.0
    settle_s: float = SETTLE_S
    is_crowded: bool = True


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
        await _check_tasks(server_run, deadline_s, plan.settle_s, tally)
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


async def _check_tasks(
    server_run: ServerRun, deadline_s: float, settle_s: float, tally: Tally
) -> None:
    """Wait until all tasks have ended, and check them with GET and with late clients."""
    try:
        async with asyncio.timeout(max(deadline_s - time.monotonic(), patient(settle_s))):
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
    _check_texts(server_run, documents, tally)
    tally.joins += sum(received.joins for received in server_run.client.received.values())
    tally.rejoined_endings += sum(
        received.rejoined_endings for received in server_run.client.received.values()
    )


def _check_texts(server_run: ServerRun, documents: Mapping[str, Any], tally: Tally) -> None:
    """Each text must be what the provider wrote, and what clients saw the beginning of it."""
    written = server_run.written_texts()
    for task_id, task in documents.items():
        if task["status"] != "completed" or "text" not in task["result_data"]:
            continue
        tally.texts += 1
        text = task["result_data"]["text"]
        if text != written.get(task["result_data"]["prediction_id"]):
            tally.wrong_texts.append(f"{task_id}: {len(text)} characters are not what was written")
        received = server_run.client.received[task_id]
        tally.outputs += received.outputs
        # A lost event is noticed at the end, by a poll.
        if not text.startswith(received.text) and "stream_lost" not in text:
            tally.wrong_texts.append(f"{task_id}: a client has shown {received.text[-80:]!r}")


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
    tally.uploads += len(server_run.uploads)
    tally.edits += sum(row.has_input for row in done)
    tally.resubmits += sum(max(row.attempts - 1, 0) for row in rows.values())
    _check_billing(server_run, rows, tally)
    # Last, because the server is started once more for it.
    await _check_sweep(server_run, path, tally)


async def _check_sweep(server_run: ServerRun, path: Path, tally: Tally) -> None:
    """Two days later, what no task uses is deleted: then each file has a row, and vice versa."""
    before = await asyncio.to_thread(audit.make_old, server_run.server.folder, path)
    tally.damage += [
        f"{sha256} was answered with 201 and is unknown"
        for sha256 in {one.removeprefix("upload:") for one in server_run.uploads} - before
    ]
    if not await server_run.sweep(path):
        tally.orphans.append("the sweep did not end in time")
    tally.swept += len(before) - len(await asyncio.to_thread(audit.uploads, path))
    tally.orphans += await asyncio.to_thread(audit.orphans, server_run.server.folder, path)


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


@click.command()
@click.option("--kills", default=200, show_default=True, help="Number of kills.")
@click.option("--seed", default=1, show_default=True, help="Seed for the order of the kills.")
@click.option("--servers", default=4, show_default=True, help="Number of servers side by side.")
@click.option("--max-seconds", default=400.0, show_default=True, help="Time limit of the run.")
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
    click.echo(table(plan.steps, tally))
    click.echo(
        json.dumps(summary(plan.steps, tally, time.monotonic() - began_s, seed=seed, kills=kills))
    )
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
