"""`doctor`: check everything that a server needs."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final, TextIO

import click

from phoenix_compat.cli.errors import CommandError
from phoenix_compat.cli.options import data_options, settings_of

_MAX_KEY_CHARS: Final = 8_192
_COLORS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@data_options
@click.option(
    "--key-file",
    type=click.File("r", encoding="utf-8", errors="replace"),
    help="File with an API key or a token, to try a websocket through the public URL.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(
    config: Path | None, data_dir: Path | None, *, key_file: TextIO | None, as_json: bool
) -> None:
    """Check everything that a server needs, whether it is running or not.

    Each line is ok, warn or fail, and says what to do. The exit code is 1 if a check fails.
    """
    import asyncio

    from phoenix_compat.cli.options import configuration_of
    from phoenix_compat.errors import ConfigError
    from phoenix_compat.operations.doctor.doctor import examine
    from phoenix_compat.operations.doctor.finding import Finding, fail
    from phoenix_compat.redaction import live_secrets

    credential = None if key_file is None else key_file.read(_MAX_KEY_CHARS).strip()
    if credential is not None:
        if not credential.isascii() or not credential.isprintable() or not credential:
            raise CommandError("--key-file: must hold one API key or token on one line")
        live_secrets.register(credential)

    def show(finding: Finding) -> None:
        if as_json:
            return
        click.echo(f"{click.style(f'{finding.status:4}', _COLORS[finding.status])}  ", nl=False)
        click.echo(f"{finding.name}: {finding.detail}")
        if finding.remedy:
            click.echo(f"      → {finding.remedy}")

    async def examine_all() -> list[Finding]:
        findings = []
        async for finding in examine(configuration_of(config, data_dir=data_dir), credential):
            show(finding)
            findings.append(finding)
        return findings

    try:
        settings_of(config, data_dir=data_dir)
        findings = asyncio.run(examine_all())
    except ConfigError as error:
        findings = [
            fail("config", str(error), "correct these settings; docs/settings.md explains them")
        ]
        show(findings[0])
    if as_json:
        click.echo(json.dumps([one._asdict() for one in findings], ensure_ascii=False, indent=2))
    sys.exit(any(one.status == "fail" for one in findings))
