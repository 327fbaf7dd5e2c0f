"""`conformance report`: what the fault server found about a client."""

# ruff: noqa: PLC0415 - see phoenix_compat.cli

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from phoenix_compat.errors import ConfigError

_TIMEOUT_S: Final = 30.0
_STYLES: Final = {"passed": "green", "failed": "bold red", "waiting": "yellow", "not seen": "dim"}


@click.command("report")
@click.argument("url", default="http://127.0.0.1:4001")
@click.option("--client", default="default", show_default=True, help="Whose verdicts.")
@click.option("--final", is_flag=True, help="The client is done: what is still awaited has failed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the evidence.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write one self-contained page, with everything that was recorded.",
)
def report(url: str, client: str, *, final: bool, as_json: bool, page: Path | None) -> None:
    """Judge a client by what it did at the fault server at URL.

    A client is told by the path it connects to: /faults/NAME/socket is the client NAME. The exit
    code is 1 when a MUST failed.
    """
    import asyncio

    query = {"client": client, **({"final": "1"} if final else {})}
    report, html = asyncio.run(_fetch(url.rstrip("/"), query, with_page=page is not None))
    if page is not None:
        _write(page, html)
    if as_json:
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _print(report)
    sys.exit(0 if report["is_conformant"] else 1)


def _write(page: Path, html: str) -> None:
    try:
        page.write_text(html, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {page}: {error.strerror}") from error


async def _fetch(url: str, query: Mapping[str, str], *, with_page: bool) -> tuple[Any, str]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
            async with session.get(f"{url}/control/report.json", params=query) as answer:
                report = await answer.json()
            if not with_page:
                return report, ""
            async with session.get(f"{url}/control/report.html", params=query) as answer:
                return report, await answer.text()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ConfigError(f"no fault server answers at {url}: {error}") from error


def _print(report: Any) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    narrow = (Column(name, no_wrap=True) for name in ("scenario", "level", "outcome"))
    table = Table(*narrow, "found", title=f"client {report['client']}")
    for verdict in report["verdicts"]:
        outcome = verdict["outcome"]
        told = Text(verdict["reason"])
        if outcome == "failed":
            told.append(f"\n{verdict['why']}\nphoenix.js: {verdict['phoenix_js']}", style="italic")
        style = _STYLES.get(outcome, "")
        table.add_row(verdict["id"], verdict["level"], Text(outcome, style=style), told)
    console = Console()
    console.print(table)
    counts = ", ".join(f"{number} {outcome}" for outcome, number in report["counts"].items())
    console.print(counts, highlight=False)
    if report["lost_entries"]:
        console.print(f"{report['lost_entries']} entries of the record were not kept", style="red")
