"""`conformance report`: print how the fault server judges a client."""

# ruff: noqa: PLC0415 - see phoenix_compat.cli

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from phoenix_compat.cli.errors import CommandError
from phoenix_compat.cli.remote.server_url import server_url

_TIMEOUT_S: Final = 30.0
_STYLES: Final = {"passed": "green", "failed": "bold red", "waiting": "yellow", "not seen": "dim"}


@click.command("report")
@click.argument(
    "url", callback=server_url("http://localhost:4001"), default="http://127.0.0.1:4001"
)
@click.option("--client", default="default", show_default=True, help="Name of the client.")
@click.option(
    "--final", is_flag=True, help="The client is done: scenarios that still wait have failed."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the recorded evidence.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a self-contained HTML page with everything that was recorded.",
)
@click.option(
    "--control-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the server's control token.  [where a server on this machine puts it]",
)
def report(  # noqa: PLR0913 - one parameter per option
    url: str,
    *,
    client: str,
    final: bool,
    as_json: bool,
    page: Path | None,
    control_token_file: Path | None,
) -> None:
    """Print how the fault server at URL judges a client.

    A client is identified by the path to which it connects: /faults/NAME/socket is the client NAME.
    The exit code is 1 if a MUST failed.
    """
    import asyncio

    from phoenix_compat.control_token import control_headers

    headers = control_headers(url, "conformance", control_token_file)
    query = {"client": client, **({"final": "1"} if final else {})}
    report, html = asyncio.run(_fetch(url, query, headers, with_page=page is not None))
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
        remedy = "choose another file"
        raise CommandError(f"cannot write {page}: {error.strerror}; {remedy}") from error


async def _fetch(
    url: str, query: Mapping[str, str], headers: Mapping[str, str], *, with_page: bool
) -> tuple[Any, str]:
    import aiohttp

    from phoenix_compat.operations.reason import reason_of

    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(
            timeout=timeout, raise_for_status=True, headers=headers
        ) as session:
            async with session.get(f"{url}/control/report.json", params=query) as answer:
                report = await answer.json()
            if not with_page:
                return report, ""
            async with session.get(f"{url}/control/report.html", params=query) as answer:
                return report, await answer.text()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        if isinstance(error, aiohttp.ClientResponseError) and error.status == 401:
            raise CommandError(
                f"{url} does not accept the control token; name the file that the server printed "
                "when it started: --control-token-file FILE"
            ) from error
        remedy = "start one with `phoenix-compat conformance serve`"
        raise CommandError(
            f"no fault server answers at {url}: {reason_of(error)}; {remedy}"
        ) from error


def _print(report: Any) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    narrow = (Column(name, no_wrap=True) for name in ("scenario", "level", "outcome"))
    table = Table(*narrow, "found", title=f"client {report['client']}")
    for verdict in report["verdicts"]:
        outcome = verdict["outcome"]
        reason = Text(verdict["reason"])
        if outcome == "failed":
            reason.append(
                f"\n{verdict['why']}\nphoenix.js: {verdict['phoenix_js']}", style="italic"
            )
        style = _STYLES.get(outcome, "")
        table.add_row(verdict["id"], verdict["level"], Text(outcome, style=style), reason)
    console = Console()
    console.print(table)
    counts = ", ".join(f"{number} {outcome}" for outcome, number in report["counts"].items())
    console.print(counts, highlight=False)
    if report["lost_entries"]:
        console.print(f"{report['lost_entries']} entries of the record were dropped", style="red")
