"""`sockets` and `disconnect`: who is connected to the running server."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import click

from phoenix_compat.cli.errors import warn
from phoenix_compat.cli.remote.options import ServerOptions, json_option, server_options
from phoenix_compat.cli.remote.tables import Column, age, print_json, print_table

_TOPIC: Final = "admin:sockets"
_MAX_CLIENTS: Final = 200
_COLUMNS: Final = (
    Column("CLIENT"),
    Column("OWNER", least_cells=8, rank=1),
    Column("AGE", rank=2, is_number=True),
    Column("BEAT", rank=5, is_number=True),
    Column("UNSENT", rank=4, is_number=True),
    Column("TRANSPORT", rank=6),
    Column("VSN", rank=7),
    Column("TOPICS", least_cells=12, rank=3),
)


@click.command()
@click.option("--text", default="", help="Only clients with this text in owner, id or topics.")
@click.option("--owner", help="Only clients of this owner.")
@click.option(
    "--order",
    type=click.Choice(["newest", "oldest", "waiting"]),
    default="newest",
    show_default=True,
    help="Which come first; waiting: those with the most unsent bytes.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, _MAX_CLIENTS),
    default=50,
    show_default=True,
    help="How many clients.",
)
@json_option
@server_options
def sockets(server: ServerOptions, *, as_json: bool, **query: Any) -> None:
    """List the connected clients of the running server.

    BEAT is the time since the last heartbeat, UNSENT the bytes that a client has not taken yet. A
    key needs the scope operate.
    """
    page = asyncio.run(_ask(server, "list", query))
    if as_json:
        print_json(page)
        return
    if page["clients"]:
        print_table(_COLUMNS, [list(_cells(client)) for client in page["clients"]])
    shown, found, connected = len(page["clients"]), page["found"], page["connected"]
    click.echo(f"{shown} of {found} clients that match; {connected} are connected.", err=True)
    _warn_of_silent(page, "their clients are missing")


@click.command()
@click.argument("owner", required=False)
@click.option("--client", help="Only the client with this id, as `sockets` shows it.")
@json_option
@server_options
def disconnect(
    server: ServerOptions, owner: str | None, client: str | None, *, as_json: bool
) -> None:
    """Disconnect all clients of OWNER.

    Apps reconnect by themselves, so this is for clients that hang, and after a key was revoked. A
    key needs the scope operate.
    """
    if (owner is None) == (client is None):
        raise click.UsageError("Give either an owner or --client.")
    if owner is not None:
        asked = _ask(server, "disconnect_owner", {"owner": owner})
    else:
        asked = _ask(server, "disconnect", {"id": client})
    done = asyncio.run(asked)
    if as_json:
        print_json(done)
        return
    count = done["clients"]
    click.echo(f"{count} {'client was' if count == 1 else 'clients were'} disconnected.")
    _warn_of_silent(done, "their clients may still be connected")


async def _ask(server: ServerOptions, event: str, payload: dict[str, object]) -> Any:
    from phoenix_compat.operations.remote.console import ask_console

    return await ask_console(await server.find(), _TOPIC, event, payload)


def _warn_of_silent(answer: Mapping[str, Any], effect: str) -> None:
    if answer["silent"]:
        processes = ", ".join(map(str, answer["silent"]))
        warn(f"the server's processes {processes} did not answer; {effect}")


def _cells(client: Mapping[str, Any]) -> Iterator[str]:
    yield client["id"]
    yield client["owner"] or ""
    yield age(timedelta(seconds=client["age_s"]))
    beat_s = client["heartbeat_age_s"]
    yield "" if beat_s is None else age(timedelta(seconds=beat_s))
    yield str(client["unsent_bytes"])
    yield client["transport"]
    yield client["vsn"]
    topics = list(client["topics"])
    more = client["joined"] - len(topics)
    yield " ".join(topics) + (f" and {more} more" if more > 0 else "")
