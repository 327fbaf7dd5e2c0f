"""`conformance serve`: host the reference channel set."""

# ruff: noqa: PLC0415 - see phoenix_compat.cli

from __future__ import annotations

from typing import Any

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=4001, show_default=True, help="0 takes a free one.")
def serve(host: str, port: int) -> None:
    """Host the reference channel set, on which the recorded conversations are played."""
    from contextlib import asynccontextmanager

    from phoenix_compat.app.logs import configure_logs
    from phoenix_compat.app.server import run, serve_until_signal
    from phoenix_compat.conformance.reference import build_reference_app

    # Channels crash here on request: that is no news, and printing tracebacks takes long enough to
    # make the next answers late.
    configure_logs("critical", "console")

    @asynccontextmanager
    async def opened() -> Any:
        yield build_reference_app()

    def started(url: str) -> None:
        click.echo(f"the reference channel set listens on {url}")

    run(serve_until_signal(opened(), host, port, started))
