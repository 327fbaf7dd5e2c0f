"""`doctor`: check everything that a server needs."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from phoenix_compat.cli.options import data_options, settings_of

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@data_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(config: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Check everything that a server needs, whether it is running or not.

    Each line is ok, warn or fail, and says what to do. The exit code is 1 if a check fails.
    """
    import asyncio

    from phoenix_compat.cli.options import configuration_of
    from phoenix_compat.errors import ConfigError
    from phoenix_compat.operations.doctor import examine
    from phoenix_compat.operations.finding import Finding, fail

    def show(finding: Finding) -> None:
        if as_json:
            return
        click.echo(f"{click.style(f'{finding.status:4}', _COLORS[finding.status])}  ", nl=False)
        click.echo(f"{finding.name}: {finding.detail}")
        if finding.remedy:
            click.echo(f"      → {finding.remedy}")

    async def examine_all() -> list[Finding]:
        findings = []
        async for finding in examine(configuration_of(config, data_dir=data_dir)):
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
