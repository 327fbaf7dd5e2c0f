"""`task`: what a client does with a task, from the command line."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import IO, Any, Final

import click

from phoenix_compat.bounded import escaped
from phoenix_compat.cli.credential import read_credential
from phoenix_compat.cli.server_url import server_url

_DEFAULT_URL: Final = "http://localhost:4000"
_EXIT_FAILED: Final = 1
_MAX_LINE_CHARS: Final = 2_000


@click.group()
def task() -> None:
    """Watch a task of a running server."""


@task.command()
@click.argument("task_id")
@click.option(
    "--url",
    callback=server_url(_DEFAULT_URL),
    default=_DEFAULT_URL,
    show_default=True,
    help="URL of the server.",
)
@click.option(
    "--key-file",
    type=click.File("rb"),
    help="File that contains an API key or a token; - is standard input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each payload as a line of JSON.")
def watch(task_id: str, url: str, key_file: IO[bytes] | None, *, as_json: bool) -> None:
    """Print the progress of TASK_ID until it has ended.

    The exit code is 0 if the task is completed, 1 if it has failed, and 2 if it cannot be watched.
    A lost connection is made again; the command can be interrupted and repeated without harm.
    """
    import asyncio

    credential = None if key_file is None else read_credential(key_file)
    if asyncio.run(_watch(url, task_id, credential, as_json=as_json)) != "completed":
        raise SystemExit(_EXIT_FAILED)


async def _watch(url: str, task_id: str, credential: str | None, *, as_json: bool) -> str:
    """Print each progress; returns the status of the last one."""
    from phoenix_compat.operations.watch import follow_task

    status = ""
    async with aclosing(follow_task(url, task_id, credential)) as progress:
        async for payload in progress:
            text = json.dumps(payload, ensure_ascii=False) if as_json else _line(payload)
            click.echo(text)
            status = payload["status"]
    return status


def _line(payload: Mapping[str, Any]) -> str:
    """One line: the time, the status, the progress, and the result or the error."""
    shown = f"{payload['timestamp']}  {payload['status']:<10}  {payload['progress']:>4.0%}"
    error = payload.get("error_data", {}).get("error")
    result = payload.get("result_data")
    if error is not None:
        shown += f"  {error}"
    elif isinstance(result, Mapping):
        values = (value for name, value in result.items() if name.endswith("url"))
        shown += f"  {next(values, json.dumps(result, ensure_ascii=False))}"
    return escaped(shown[:_MAX_LINE_CHARS])
