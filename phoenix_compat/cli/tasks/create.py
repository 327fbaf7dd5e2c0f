"""`task create`."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from phoenix_compat.cli.remote.options import ServerOptions, json_option, server_options
from phoenix_compat.cli.remote.tables import print_json
from phoenix_compat.cli.tasks.paths import TASKS_PATH


@click.command()
@click.argument("prompt", required=False)
@click.option("--type", "type_", default="image", show_default=True, help="Type of the task.")
@click.option("--model", help="Model to run, as owner/name.  [that of the type]")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Further input; JSON is read as JSON, other values as text.",
)
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="NAME=PATH",
    help="Input that is a file, which is sent first.",
)
@click.option("--owner", help="Owner of the task; needs the scope impersonate.")
@click.option("--idempotency-key", metavar="KEY", help="Repeats with the same key do nothing.")
@click.option("--watch", "is_watched", is_flag=True, help="Watch the task until it has ended.")
@json_option
@server_options
def create(  # noqa: PLR0913 - the parts of a task
    server: ServerOptions,
    prompt: str | None,
    *,
    type_: str,
    model: str | None,
    inputs: Sequence[str],
    files: Sequence[str],
    owner: str | None,
    idempotency_key: str | None,
    is_watched: bool,
    as_json: bool,
) -> None:
    """Create a task from PROMPT and print its id.

    This may cost money. With --watch the command then does what `task watch` does.
    """
    from phoenix_compat.cli.tasks.watch import run_watch

    input_data: dict[str, Any] = {"type": type_}
    input_data |= {} if prompt is None else {"prompt": prompt}
    input_data |= {} if model is None else {"model": model}
    input_data |= {name: _value(text) for name, text in _pairs(inputs, "--input")}
    paths = [(name, Path(text)) for name, text in _pairs(files, "--file")]
    key = idempotency_key or str(uuid.uuid4())
    task = asyncio.run(_create(server, input_data, paths, owner, key))
    if is_watched:
        run_watch(server, task["task_id"], as_json=as_json)
    elif as_json:
        print_json(task)
    else:
        click.echo(task["task_id"])


async def _create(
    server: ServerOptions,
    input_data: dict[str, Any],
    paths: Sequence[tuple[str, Path]],
    owner: str | None,
    key: str,
) -> Any:
    async with await server.api(owner) as api:
        for name, path in paths:
            content = await asyncio.to_thread(path.read_bytes)
            stored = await api.send(
                "POST",
                "/api/files",
                data=content,
                headers={"Content-Type": "application/octet-stream"},
            )
            input_data[name] = stored["id"]
        return await api.post(TASKS_PATH, {"input_data": input_data}, **{"Idempotency-Key": key})


def _pairs(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{text!r} must be NAME=VALUE", param_hint=option)
        pairs.append((name, value))
    return pairs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
