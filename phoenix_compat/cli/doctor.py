"""`doctor`: does this server have what it needs?"""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from phoenix_compat.cli.options import settings_of, where_options

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@where_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def doctor(config: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Look at everything a server needs, beside it or without it; exit code 1 if something fails.

    Each line is ok, warn or fail, and says what to do.
    """
    import asyncio

    from phoenix_compat.cli.options import configuration_of
    from phoenix_compat.errors import ConfigError
    from phoenix_compat.operations.doctor import examine
    from phoenix_compat.operations.finding import Finding, fail

    def tell(finding: Finding) -> None:
        if as_json:
            return
        click.echo(f"{click.style(f'{finding.status:4}', _COLORS[finding.status])}  ", nl=False)
        click.echo(f"{finding.name}: {finding.told}")
        if finding.remedy:
            click.echo(f"      → {finding.remedy}")

    async def look() -> list[Finding]:
        findings = []
        async for finding in examine(configuration_of(config, data_dir=data_dir)):
            tell(finding)
            findings.append(finding)
        return findings

    try:
        settings_of(config, data_dir=data_dir)
        findings = asyncio.run(look())
    except ConfigError as error:
        findings = [fail("config", str(error), "mend what is named; docs/settings.md explains it")]
        tell(findings[0])
    if as_json:
        click.echo(json.dumps([one._asdict() for one in findings], ensure_ascii=False, indent=2))
    sys.exit(any(one.status == "fail" for one in findings))
