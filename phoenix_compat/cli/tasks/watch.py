"""`task watch`: follows a task over its channel, as an app does."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from phoenix_compat.bounded import escaped
from phoenix_compat.cli.errors import CommandError
from phoenix_compat.cli.remote.options import ServerOptions, server_options
from phoenix_compat.cli.tasks.paths import TASKS_PATH

if TYPE_CHECKING:
    from phoenix_compat.cli.tasks.terminal_picture import Protocol
    from phoenix_compat.operations.remote.access import Remote

_EXIT_FAILED: Final = 1
_EXIT_INTERRUPTED: Final = 130
"""As shells report a program that SIGINT has ended."""
_MAX_LINE_CHARS: Final = 2_000
_MAX_PICTURE_BYTES: Final = 20 * 2**20
_COMPLETED: Final = "completed"

Show = Callable[[Mapping[str, Any]], None]


@click.command()
@click.argument("task_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print each payload as a line of JSON.")
@click.option(
    "--picture/--no-picture",
    default=None,
    help="Draw the picture.  [if the terminal can]",
)
@server_options
def watch(
    server: ServerOptions, task_id: str | None, *, as_json: bool, picture: bool | None
) -> None:
    """Show the progress of TASK_ID, or of the newest task, until it has ended.

    A terminal shows a bar, and the picture if it can (kitty, iTerm2, sixel); otherwise each change
    is a line. The exit code is 0 if the task is completed, 1 if it has failed, and 2 if it cannot
    be watched. A lost connection is made again; the command can be interrupted and repeated without
    harm.
    """
    run_watch(server, task_id, as_json=as_json, picture=picture)


def run_watch(
    server: ServerOptions,
    task_id: str | None,
    *,
    as_json: bool = False,
    picture: bool | None = None,
) -> None:
    """Watch a task, the newest if none is named; exits with 1 unless it is completed."""
    from phoenix_compat.cli.tasks.terminal_picture import find_protocol

    protocol = None if picture is False or as_json else find_protocol(is_asked=bool(picture))
    try:
        last = asyncio.run(_watch(server, task_id, protocol, as_json=as_json))
    except KeyboardInterrupt:
        click.echo("Stopped watching; the task goes on.", err=True)
        raise SystemExit(_EXIT_INTERRUPTED) from None
    if last.get("status") != _COMPLETED:
        raise SystemExit(_EXIT_FAILED)


async def _watch(
    server: ServerOptions, task_id: str | None, protocol: Protocol | None, *, as_json: bool
) -> Mapping[str, Any]:
    """Print each progress; returns the last one."""
    remote = await server.find()
    if task_id is None:
        task_id = await _newest(remote)
    last: Mapping[str, Any] = {}
    with _shown(as_json=as_json) as show:
        async with aclosing(_progress(remote, task_id)) as progress:
            async for payload in progress:
                show(payload)
                last = payload
    if protocol is not None and last.get("status") == _COMPLETED:
        await _draw(remote, last, protocol)
    return last


async def _newest(remote: Remote) -> str:
    from phoenix_compat.operations.remote.api import open_api

    async with open_api(remote) as api:
        page = await api.get(TASKS_PATH, limit="1")
    for task in page["tasks"]:
        return str(task["task_id"])
    raise CommandError(f"{remote.name} has no task yet; create one, or name one")


async def _progress(remote: Remote, task_id: str) -> AsyncGenerator[Mapping[str, Any]]:
    from phoenix_compat.operations.watch import follow_task

    has_credential = await remote.credential() is not None
    async with (
        remote.session() as session,
        aclosing(
            follow_task(
                remote.url,
                task_id,
                remote.credential if has_credential else None,
                session=session,
                name=remote.name,
            )
        ) as progress,
    ):
        async for payload in progress:
            yield payload


def _shown(*, as_json: bool) -> AbstractContextManager[Show]:
    """How to show each payload: as JSON, as a line, or as a bar."""
    if as_json:
        return _as_json()
    return _as_bar() if sys.stdout.isatty() else _as_lines()


@contextmanager
def _as_json() -> Iterator[Show]:
    yield lambda payload: click.echo(json.dumps(payload, ensure_ascii=False))


@contextmanager
def _as_lines() -> Iterator[Show]:
    yield lambda payload: click.echo(_line(payload))


@contextmanager
def _as_bar() -> Iterator[Show]:
    """A bar, and below it the result when the task has ended."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    last: Mapping[str, Any] = {}
    columns = (TextColumn("{task.description:<10}"), BarColumn(None), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(highlight=False)) as bar:
        row = bar.add_task("waiting", total=1.0)

        def show(payload: Mapping[str, Any]) -> None:
            nonlocal last
            last = payload
            bar.update(row, completed=payload["progress"], description=payload["status"])

        yield show
    if last and (text := _outcome(last)):
        click.echo(text)


def _line(payload: Mapping[str, Any]) -> str:
    """One line: the time, the status, the progress, and the result or the error."""
    shown = f"{payload['timestamp']}  {payload['status']:<10}  {payload['progress']:>4.0%}"
    outcome = _outcome(payload)
    return (f"{escaped(shown)}  {outcome}" if outcome else escaped(shown))[:_MAX_LINE_CHARS]


def _outcome(payload: Mapping[str, Any]) -> str:
    """The result or the error in one line; "" before the end."""
    error = payload.get("error_data", {}).get("error")
    if error is not None:
        return escaped(str(error)[:_MAX_LINE_CHARS])
    result = payload.get("result_data")
    if not isinstance(result, Mapping):
        return ""
    found = _url_of(result) or result.get("text")
    text = found if isinstance(found, str) else json.dumps(result, ensure_ascii=False)
    return escaped(" ".join(text[:_MAX_LINE_CHARS].split()))


def _url_of(result: Mapping[str, Any]) -> str | None:
    urls = (value for name, value in result.items() if name.endswith("url"))
    return next((url for url in urls if isinstance(url, str)), None)


async def _draw(remote: Remote, payload: Mapping[str, Any], protocol: Protocol) -> None:
    from phoenix_compat.cli.tasks.terminal_picture import draw
    from phoenix_compat.operations.remote.api import open_api

    url = payload["result_data"].get("image_url")
    if not isinstance(url, str):
        return
    async with open_api(remote) as api:
        data = await api.bytes_of(url, _MAX_PICTURE_BYTES)
    if data is not None:
        await asyncio.to_thread(draw, data, protocol)
