"""`webhooks`: how the receivers of events are doing, and replay; a server may be running."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from phoenix_compat.cli.options import data_options, settings_of
from phoenix_compat.cli.remote.options import json_option
from phoenix_compat.cli.remote.tables import Column, print_json, print_table
from phoenix_compat.cli.shell.groups import WholeHelpGroup

_WEBHOOKS: Final[Sequence[Column]] = (
    Column("NAME"),
    Column("STATE"),
    Column("WAITING", is_number=True),
    Column("GIVEN UP", is_number=True),
    Column("DELIVERED", rank=1, is_number=True),
    Column("DROPPED", rank=2, is_number=True),
    Column("LAST SUCCESS", rank=3),
    Column("REASON", least_cells=12),
)
_EVENTS: Final[Sequence[Column]] = (
    Column("EVENT"),
    Column("TASK"),
    Column("HAPPENED", rank=2),
    Column("ATTEMPTS", rank=1, is_number=True),
    Column("NEXT", rank=3),
    Column("ERROR", least_cells=12),
)


@click.group(cls=WholeHelpGroup)
def webhooks() -> None:
    """Manage outgoing webhooks, also while a server is running.

    They are the receivers of the setting on_task_webhooks.
    """


@webhooks.command("list")
@data_options
@click.argument("name", required=False)
@json_option
def list_webhooks(
    config: Path | None, data_dir: Path | None, name: str | None, *, as_json: bool
) -> None:
    """List the webhooks, or the events that the webhook NAME does not have yet.

    Events are listed without their contents, the oldest 50.
    """
    from phoenix_compat.server.control.webhook_commands import LIST, SHOW

    if name is not None:
        found = _run(config, data_dir, SHOW, {"name": name})
        columns, rows = _EVENTS, [_event_row(event) for event in found]
        nothing = f"{name} has every event."
    else:
        found = _run(config, data_dir, LIST, {})
        columns, rows = _WEBHOOKS, [_webhook_row(webhook) for webhook in found]
        nothing = "There are no webhooks. docs/other-backends.md explains on_task_webhooks."
    if as_json:
        print_json(found)
    elif rows:
        print_table(columns, rows)
    else:
        click.echo(nothing, err=True)


@webhooks.command()
@data_options
@click.argument("name")
def replay(config: Path | None, data_dir: Path | None, name: str) -> None:
    """Send everything that the webhook NAME does not have, and enable it.

    This includes events that were given up. Events that it took are not sent again.
    """
    from phoenix_compat.server.control.webhook_commands import REPLAY

    count = _run(config, data_dir, REPLAY, {"name": name})["events"]
    click.echo(f"{name} is enabled; {count} {'event' if count == 1 else 'events'} to send")


def _run(
    config: Path | None, data_dir: Path | None, command: str, arguments: Mapping[str, object]
) -> Any:
    from phoenix_compat.operations.keys import run_key_command

    settings = settings_of(config, data_dir=data_dir)
    return asyncio.run(run_key_command(settings, command, arguments))


def _webhook_row(webhook: Mapping[str, Any]) -> tuple[str, ...]:
    disabled_at = webhook["disabled_at"]
    state = "active" if disabled_at is None else f"disabled {_short(disabled_at)}"
    if webhook["url"] is None:
        state = "not in the settings"
    counts = (str(webhook[key]) for key in ("pending", "failed", "delivered", "dropped"))
    reason = webhook["reason"] or ""
    return (webhook["name"], state, *counts, _short(webhook["last_success_at"]), reason)


def _event_row(event: Mapping[str, Any]) -> tuple[str, ...]:
    next_at = event["next_attempt_at"]
    following = "after the one before" if next_at is None else _short(next_at)
    return (
        f"task.{event['event']}",
        event["task_id"],
        _short(event["created_at"]),
        str(event["attempts"]),
        following if event["failed_at"] is None else "given up",
        event["error"] or "",
    )


def _short(time: str | None) -> str:
    """A stored time to the minute, in UTC."""
    return "never" if time is None else time[:16].replace("T", " ")
