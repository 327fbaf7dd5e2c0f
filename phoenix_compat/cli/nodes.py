"""`nodes`: the nodes of a server that runs on several machines."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from phoenix_compat.cli.errors import warn
from phoenix_compat.cli.options import data_options, settings_of
from phoenix_compat.cli.remote.options import json_option
from phoenix_compat.cli.remote.tables import Column, age, print_json, print_table

if TYPE_CHECKING:
    from phoenix_compat.operations.nodes import NodeState

_COLUMNS: Final[Sequence[Column]] = (
    Column("NODE"),
    Column("NAME", least_cells=12),
    Column("STATE"),
    Column("TASKS", is_number=True),
    Column("SEEN", rank=1, is_number=True),
    Column("UP", rank=2, is_number=True),
    Column("VERSION", rank=3),
    Column("URL", rank=4, least_cells=12),
)
_UP: Final = "up"
_GONE: Final = "gone"


@click.command()
@data_options
@json_option
def nodes(config: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """List the servers that share the database of database_url.

    TASKS are those that a node has taken and not ended, SEEN is when it last renewed them. A node
    is deaf if it hears nothing from the bus, silent if the bus does not hear it, and gone if it has
    not been seen for half a minute; others then take over its tasks. The exit code is 1 if a node
    is deaf or silent.
    """
    import msgspec

    from phoenix_compat.operations.nodes import list_nodes

    found = asyncio.run(list_nodes(settings_of(config, data_dir=data_dir)))
    if as_json:
        print_json(msgspec.to_builtins(found))
    elif found.nodes:
        print_table(_COLUMNS, [_row(node) for node in found.nodes])
    else:
        click.echo("No server has used this database yet.", err=True)
    if not found.is_bus_heard:
        warn("nothing came back from the bus, so nobody knows who is silent; try doctor")
    if any(node.state not in {_UP, _GONE} for node in found.nodes):
        raise SystemExit(1)


def _row(node: NodeState) -> tuple[str, ...]:
    return (
        node.id,
        node.name,
        node.state,
        str(node.leases),
        f"{age(timedelta(seconds=node.seen_s))} ago",
        age(timedelta(seconds=node.up_s)),
        node.version,
        node.url or "unknown",
    )
