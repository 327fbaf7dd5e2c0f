"""Runs one client through the scenarios of the fault server, and prints its final report as JSON.

    python -m tests.interop.client_reports phoenix_compat > report.json
    python -m tests.interop.client_reports phoenix.js --packages tests/interop/long \\
        --package phoenix-1.7 > report.json

The report is that of `conformance report --final --json`, and
`python -m tests.conformance.who_speaks client` makes a row of docs/who-speaks-phoenix.md from it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from phoenix_compat.conformance.faults.fault_session import FaultSessions
from phoenix_compat.conformance.faults.report import Report, judge_client
from phoenix_compat.conformance.faults.server import add_fault_server
from tests.integration.client import fault_app
from tests.interop import python_faults
from tests.serving import serving

HERE: Final = Path(__file__).parent
NAMES: Final = ("phoenix.js", "phoenix_compat", "phoenix-channels-python-client", "phxsocket")


@asynccontextmanager
async def running(*command: str, **environment: str) -> AsyncIterator[None]:
    """Run an app that plays all scenarios until the context ends."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, env={**os.environ, **environment}
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def report(name: str, packages: Path, package: str, limit_s: float) -> str:
    """The client's final report, after at most `limit_s` seconds."""
    app = web.Application()
    sessions = add_fault_server(app)
    async with serving(app) as base_url, _playing(base_url, name, packages, package):
        await _settle(sessions, name, limit_s)
        found = judge_client(name, sessions.sessions_of(name), is_final=True)
    return json.dumps(found.to_json(), ensure_ascii=False, indent=1)


async def _settle(sessions: FaultSessions, name: str, limit_s: float) -> None:
    """Wait until every scenario has a verdict, or for `limit_s`."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + limit_s
    while loop.time() < deadline_s:
        if not _is_open(judge_client(name, sessions.sessions_of(name))):
            return
        await asyncio.sleep(0.5)


def _is_open(found: Report) -> bool:
    outcomes = {verdict.finding.outcome.value for verdict in found.verdicts}
    return not outcomes.isdisjoint({"waiting", "not seen"})


def _playing(
    base_url: str, name: str, packages: Path, package: str
) -> AbstractAsyncContextManager[object]:
    if name == "phoenix_compat":
        return fault_app.playing(base_url, name)
    if name == "phoenix-channels-python-client":
        return python_faults.playing(base_url, name)
    if name == "phxsocket":
        script = str(HERE / "long" / "phxsocket_faults.py")
        return running(sys.executable, script, base_url, name, PYTHONPATH=str(packages))
    return running("node", str(HERE / "faults.mjs"), base_url, name, str(packages), package)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.interop.client_reports", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument(
        "--packages",
        type=Path,
        default=HERE,
        help="folder whose node_modules has the package; for phxsocket, where it is installed",
    )
    parser.add_argument("--package", default="phoenix", help="of npm, or its alias there")
    parser.add_argument(
        "--limit", type=float, default=90.0, help="seconds after which it ends  [90]"
    )
    options = parser.parse_args()
    packages = options.packages.resolve()
    text = asyncio.run(report(options.name, packages, options.package, options.limit))
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
