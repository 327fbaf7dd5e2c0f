"""`conformance …`: tools for authors of Phoenix clients and servers."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

from typing import Any

import click

from phoenix_compat.cli.client_report import client_report


@click.group()
def conformance() -> None:
    """Tools for authors of Phoenix clients and servers."""


@conformance.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=4001, show_default=True, help="0 takes a free one.")
def conformance_serve(host: str, port: int) -> None:
    """Host the reference channel set, and a fault server for authors of clients.

    \b
    /socket    the reference channel set, on which the recorded conversations are played
    /faults    a Phoenix that misbehaves on demand; point your client at it, e.g. at
               ws://127.0.0.1:4001/faults/socket, and join fault:close:1001:after=2s
    /control   arm faults by HTTP, read what your client did and how it was judged:
               GET /control/scenarios, GET /control/report.html
    """
    from contextlib import asynccontextmanager

    from phoenix_compat.app.logs import configure_logs
    from phoenix_compat.app.server import run, serve_until_signal
    from phoenix_compat.conformance.faults.server import add_fault_server
    from phoenix_compat.conformance.reference import build_reference_app

    configure_logs("warning", "console")

    @asynccontextmanager
    async def opened() -> Any:
        app = build_reference_app()
        add_fault_server(app)
        yield app

    def started(url: str) -> None:
        click.echo(f"the reference channel set listens on {url}")
        click.echo(
            f"the fault server listens on {url}/faults, its scenarios are {url}/control/scenarios"
        )

    run(serve_until_signal(opened(), host, port, started))


conformance.add_command(client_report)
