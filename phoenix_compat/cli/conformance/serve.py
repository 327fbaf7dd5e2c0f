"""`conformance serve`: run the reference channel set and the fault server."""

# ruff: noqa: PLC0415 - see phoenix_compat.cli

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=4001,
    show_default=True,
    help="Port to listen on; with 0 the system chooses one.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    help="Number of processes that serve the port.  [1]",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Further host name for /control and /broadcast. Repeatable.",
)
@click.option(
    "--control-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the token for /control and /broadcast; created if it is missing.  "
    "[a new one for each start]",
)
@click.option("--as-worker", is_flag=True, hidden=True)
def serve(  # noqa: PLR0913 - one parameter per option
    *,
    host: str,
    port: int,
    workers: int,
    allowed_hosts: tuple[str, ...],
    control_token_file: Path | None,
    as_worker: bool,
) -> None:
    """Run the reference channel set, and a fault server for authors of clients.

    \b
    /socket    the reference channel set, for the recorded conversations
    /faults    a Phoenix server that misbehaves on demand; connect your client to
               ws://127.0.0.1:4001/faults/socket, and join a topic such as
               fault:close:1001:after=2s
    /control   arm faults by HTTP, and read what your client did and how it is
               judged: GET /control/scenarios, GET /control/report.html

    /control and /broadcast need a token, which is in a file that only you can read; the server
    prints a command that uses it.

    With several workers, only the reference channel set is available.
    """
    import logging
    from contextlib import asynccontextmanager

    from phoenix_compat.cluster.workers.supervisor import supervise
    from phoenix_compat.cluster.workers.worker_process import SupervisorLink
    from phoenix_compat.conformance.control_guard import control_guard
    from phoenix_compat.conformance.faults.server import add_fault_server
    from phoenix_compat.conformance.reference import open_reference_app
    from phoenix_compat.control_token import opened_control_token
    from phoenix_compat.protocol.page_guard import host_pattern
    from phoenix_compat.server.process.listening import run, serve_until_signal, work_until_signal

    try:
        hosts = (host.lower(), *map(host_pattern, allowed_hosts))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--allowed-host") from error
    # Channels crash here on request. Logging the tracebacks would delay the next replies.
    logging.basicConfig(level=logging.CRITICAL)

    if as_worker:
        worker_process, supervisor_link = SupervisorLink.open()
        app = open_reference_app(worker_process, control_guard(hosts, worker_process.control_token))
        run(work_until_signal(app, host, worker_process, supervisor_link))
        return

    with opened_control_token(control_token_file) as control_token:

        @asynccontextmanager
        async def opened() -> AsyncIterator[web.Application]:
            guard = control_guard(hosts, control_token.secret)
            async with open_reference_app(guard=guard) as app:
                add_fault_server(app, guard)
                yield app

        def started(url: str) -> None:
            file = control_token.publish("conformance", urlsplit(url).port or port)
            click.echo(_greeting(url, file, with_faults=workers == 1))

        if workers > 1:
            secret = control_token.secret
            run(supervise(sys.argv[1:], host, port, workers, started, control_token=secret))
        else:
            run(serve_until_signal(opened(), host, port, started))


def _greeting(url: str, token_file: Path, *, with_faults: bool) -> str:
    header = f'-H "X-Control-Token: $(cat {shlex.quote(str(token_file))})"'
    if not with_faults:
        return f"""the reference channel set listens on {url}

  curl {header} -H 'Content-Type: application/json' -d '{{"n": 1}}' {url}/broadcast/room:a/msg"""
    return f"""the reference channel set listens on {url}
the fault server listens on {url}/faults; its scenarios, with the control token:

  curl -s {header} {url}/control/scenarios"""
