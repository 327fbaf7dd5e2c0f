"""`task cancel` and `task retry`."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from phoenix_compat.cli.remote.options import ServerOptions, json_option, server_options
from phoenix_compat.cli.remote.tables import print_json
from phoenix_compat.cli.tasks.paths import task_path


@click.command()
@click.argument("task_id", nargs=-1, required=True)
@json_option
@server_options
def cancel(server: ServerOptions, task_id: Sequence[str], *, as_json: bool) -> None:
    """Cancel one or more tasks.

    A task that has ended stays as it is. If a result arrives before the cancel, it is kept: it is
    already paid for. The exit code is 1 if a task could not be canceled.
    """

    def text(task: Mapping[str, Any]) -> str:
        return "is being canceled" if task["status"] == "processing" else f"is {task['state']}"

    _change(server, "cancel", task_id, text, as_json=as_json)


@click.command()
@click.argument("task_id", nargs=-1, required=True)
@json_option
@server_options
def retry(server: ServerOptions, task_id: Sequence[str], *, as_json: bool) -> None:
    """Run one or more failed tasks again.

    This may cost money, as a new task does. The exit code is 1 if a task could not be retried, for
    example because it has not failed.
    """

    def text(_task: Mapping[str, Any]) -> str:
        return "is queued again"

    _change(server, "retry", task_id, text, as_json=as_json)


def _change(
    server: ServerOptions,
    action: str,
    task_ids: Sequence[str],
    text: Callable[[Mapping[str, Any]], str],
    *,
    as_json: bool,
) -> None:
    changed, has_failed = asyncio.run(_changed(server, action, task_ids, text, is_quiet=as_json))
    if as_json:
        print_json(changed)
    if has_failed:
        raise SystemExit(1)


async def _changed(
    server: ServerOptions,
    action: str,
    task_ids: Sequence[str],
    text: Callable[[Mapping[str, Any]], str],
    *,
    is_quiet: bool,
) -> tuple[list[Mapping[str, Any]], bool]:
    """The tasks after the change, and whether one could not be changed."""
    from phoenix_compat.operations.remote.access import RemoteError

    changed: list[Mapping[str, Any]] = []
    has_failed = False
    async with await server.api() as api:
        for task_id in task_ids:
            try:
                task = await api.post(f"{task_path(task_id)}/{action}")
            except RemoteError as error:
                if len(task_ids) == 1:
                    raise
                click.echo(f"Error: {task_id}: {error}", err=True)
                has_failed = True
                continue
            changed.append(task)
            if not is_quiet:
                click.echo(f"{task['task_id']} {text(task)}")
    return changed, has_failed
