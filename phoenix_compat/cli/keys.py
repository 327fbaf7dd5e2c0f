"""`keys`: create, list and revoke API keys; a server may be running."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from phoenix_compat.cli.options import data_options, settings_of
from phoenix_compat.cli.shell.groups import WholeHelpGroup
from phoenix_compat.server.auth.principal import Scope

_SCOPES: Final = ", ".join(scope.value for scope in Scope)
_HEADINGS: Final = ("NAME", "SCOPES", "CREATED", "LAST USED", "STATE")


@click.group(cls=WholeHelpGroup)
def keys() -> None:
    """Manage API keys, also while a server is running."""


def _scopes(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> list[str]:
    """The scopes in all --scope options, each of which may have several with commas between."""
    names = [name.strip() for value in values for name in value.split(",")]
    for name in names:
        if name not in Scope.__members__.values():
            raise click.BadParameter(f"{name!r} is not a scope. The scopes are {_SCOPES}.")
    return list(dict.fromkeys(names))


def _text(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Refuse bytes that are not UTF-8."""
    if value != value.encode(errors="replace").decode():
        raise click.BadParameter("is not UTF-8 text.")
    return value


@keys.command()
@data_options
@click.argument("name", callback=_text)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=("create,read,cancel",),
    show_default=True,
    callback=_scopes,
    metavar="SCOPE,SCOPE",
    help=f"What the key allows: {_SCOPES}.",
)
def create(config: Path | None, data_dir: Path | None, name: str, scopes: list[str]) -> None:
    """Create a key and print it.

    It cannot be shown again. Only the key is printed on standard output, so a script can write
    KEY=$(phoenix-compat keys create NAME). Tasks that are created with it belong to the owner
    key:NAME. If a key of this name was revoked, the new key takes over its tasks.
    """
    from phoenix_compat.server.control.key_commands import CREATE

    answer = _run(config, data_dir, CREATE, {"name": name, "scopes": scopes})
    click.echo(answer["key"])
    click.echo(
        f"The key {name} may {', '.join(scopes)}. Store it now: it cannot be shown again.", err=True
    )


@keys.command("list")
@data_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(config: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """List all keys.

    The list shows what each key may do, when it was last used, and whether it is revoked. The last
    use can be up to a minute out of date. Keys themselves are not stored and cannot be shown.
    """
    from phoenix_compat.server.auth.keys.api_keys import OWNER_PREFIX
    from phoenix_compat.server.control.key_commands import LIST

    records = _run(config, data_dir, LIST, {})
    if as_json:
        listed = [{**record, "owner": OWNER_PREFIX + record["name"]} for record in records]
        click.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    if not records:
        click.echo("There are no keys. To create one: phoenix-compat keys create NAME", err=True)
        return
    rows = [_HEADINGS, *map(_row, records)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@keys.command()
@data_options
@click.argument("name", callback=_text)
def revoke(config: Path | None, data_dir: Path | None, name: str) -> None:
    """Revoke a key at once.

    Its sockets are closed, and its tasks stay. The command can be repeated without harm.
    """
    from phoenix_compat.server.control.key_commands import REVOKE

    record = _run(config, data_dir, REVOKE, {"name": name})
    click.echo(f"{name} is revoked since {_short(record['revoked_at'])} UTC")


@keys.command()
@data_options
@click.argument("owner", callback=_text)
def adopt(config: Path | None, data_dir: Path | None, owner: str) -> None:
    """Give all tasks that have no owner to OWNER.

    OWNER is, for example, key:phone or user-17. Tasks that were created while authentication was
    off have no owner. This cannot be undone.
    """
    from phoenix_compat.server.control.key_commands import ADOPT

    answer = _run(config, data_dir, ADOPT, {"owner": owner})
    count = answer["tasks"]
    click.echo(f"{count} {'task now belongs' if count == 1 else 'tasks now belong'} to {owner}")


def _run(
    config: Path | None, data_dir: Path | None, command: str, arguments: Mapping[str, object]
) -> Any:
    import asyncio

    from phoenix_compat.operations.keys import run_key_command

    settings = settings_of(config, data_dir=data_dir)
    return asyncio.run(run_key_command(settings, command, arguments))


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    revoked_at = record["revoked_at"]
    return (
        record["name"],
        ",".join(record["scopes"]),
        _short(record["created_at"]),
        _short(record["last_used_at"]) if record["last_used_at"] else "never",
        "valid" if revoked_at is None else f"revoked {_short(revoked_at)}",
    )


def _short(time: str) -> str:
    """A stored time to the minute: 2026-01-05 10:00, in UTC."""
    return time[:16].replace("T", " ")
