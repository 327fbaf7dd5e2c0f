"""`task list` and `task show`."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import click

from phoenix_compat.cli.remote.options import ServerOptions, json_option, server_options
from phoenix_compat.cli.remote.tables import Column, age, print_fields, print_json, print_table

_MAX_TASKS: Final = 10_000
_PAGE: Final = 200
_MAX_EVENTS: Final = 200
_STATUSES: Final = ("processing", "completed", "failed", "queued", "submitting", "running")
_COLUMNS: Final = (
    Column("TASK"),
    Column("STATE", rank=1),
    Column("AGE", rank=2, is_number=True),
    Column("TYPE", least_cells=6, rank=5),
    Column("MODEL", least_cells=10, rank=4),
    Column("RESULT", least_cells=10, rank=3),
)
_OWNER: Final = Column("OWNER", least_cells=8, rank=3)
_URL_KEYS: Final = ("image_url", "output_url", "video_url", "audio_url")


@click.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only tasks with this status.")
@click.option("--type", "type_", metavar="TYPE", help="Only this type, such as image.")
@click.option("--model", help="Only this model.")
@click.option("--text", help="Only prompts that contain this text.")
@click.option("--owner", help="Only tasks of this owner, for operators.")
@click.option(
    "--limit",
    type=click.IntRange(1, _MAX_TASKS),
    default=20,
    show_default=True,
    help="How many tasks.",
)
@json_option
@server_options
def list_tasks(server: ServerOptions, *, as_json: bool, limit: int, **filters: str | None) -> None:
    """List tasks, the newest first."""
    query = {name.rstrip("_"): value for name, value in filters.items() if value is not None}
    tasks, has_more = asyncio.run(_tasks(server, query, limit))
    if as_json:
        print_json(tasks)
        return
    if not tasks:
        click.echo("No tasks.", err=True)
        return
    with_owner = any("owner" in task for task in tasks)
    now = datetime.now(UTC)
    columns = (*_COLUMNS[:3], _OWNER, *_COLUMNS[3:]) if with_owner else _COLUMNS
    print_table(columns, [list(_cells(task, now, with_owner=with_owner)) for task in tasks])
    if has_more:
        click.echo(f"There are more; raise --limit {limit} to see them.", err=True)


@click.command()
@click.argument("task_id")
@json_option
@server_options
def show(server: ServerOptions, task_id: str, *, as_json: bool) -> None:
    """Show TASK_ID with its input, its result and its history."""
    task, events = asyncio.run(_task(server, task_id))
    if as_json:
        print_json({**task, "events": events})
        return
    print_fields([*_fields(task), *((name, text) for name, text in _history(events))])


async def _tasks(
    server: ServerOptions, query: dict[str, str], limit: int
) -> tuple[list[Mapping[str, Any]], bool]:
    """The tasks, and whether there are more."""
    tasks: list[Mapping[str, Any]] = []
    async with await server.api() as api:
        while len(tasks) < limit:
            query["limit"] = str(min(limit - len(tasks), _PAGE))
            page = await api.get("/api/tasks", **query)
            tasks += page["tasks"]
            if "next_cursor" not in page:
                return tasks, False
            query["cursor"] = page["next_cursor"]
    return tasks, True


async def _task(server: ServerOptions, task_id: str) -> tuple[Mapping[str, Any], list[Any]]:
    from phoenix_compat.cli.tasks.paths import task_path

    async with await server.api() as api:
        task = await api.get(task_path(task_id))
        page = await api.get(task_path(task_id) + "/events", limit=str(_MAX_EVENTS))
    return task, page["events"]


def _cells(task: Mapping[str, Any], now: datetime, *, with_owner: bool) -> Iterator[str]:
    state = task["state"]
    yield task["task_id"]
    yield f"{state} {task['progress']:.0%}" if state == "running" else state
    yield age(now - datetime.fromisoformat(task["created_at"]))
    if with_owner:
        yield str(task.get("owner", ""))
    yield task["task_type"]
    yield task["model"]
    yield outcome(task)


def outcome(task: Mapping[str, Any]) -> str:
    """The result or the error of a task, in a few words; "" while it has none."""
    error = task.get("error_data")
    if error is not None:
        return f"{error.get('code', 'failed')}: {error.get('error', '')}"
    result = task.get("result_data")
    if result is None:
        return ""
    url = next((result[key] for key in _URL_KEYS if isinstance(result.get(key), str)), None)
    if url is not None:
        return str(url)
    if isinstance(result.get("text"), str):
        return " ".join(result["text"].split())
    return json.dumps(result, ensure_ascii=False)


def _fields(task: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = ("task_id", "state", "owner", "task_type", "model", "queue_position", "prediction_id")
    for name in names:
        if name in task:
            value = str(task[name])
            yield name, f"{value} {task['progress']:.0%}" if value == "running" else value
    if "estimated_cost_usd" in task:
        yield "cost_usd", f"{task['estimated_cost_usd']:.4f} (estimated)"
    for name in ("created_at", "updated_at", "completed_at"):
        if name in task:
            yield name, task[name]
    for name in ("input_data", "result_data", "error_data"):
        for key, value in (task.get(name) or {}).items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{name.removesuffix('_data')}.{key}", text


def _history(events: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for event in events:
        yield f"event {event['seq']}", f"{event['at']}  {event['event']}"
