"""Runs phoenix.js and this package's client against the fault server, and prints their verdicts.

    .venv/bin/python -m tests.interop.verdicts

The output is the table of docs/client.md. It needs Node.js and the npm packages of tests/interop.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from phoenix_compat.conformance.faults.report import Report
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from phoenix_compat.conformance.faults.server import add_fault_server
from tests.integration.client.fault_app import playing
from tests.interop.test_faults import ALL, settled
from tests.serving import serving

HEADER: Final = "| scenario | level | phoenix.js 1.8.16 | this client |"
_SCRIPT: Final = Path(__file__).with_name("faults.mjs")


def table(js: Mapping[str, str], own: Mapping[str, str]) -> str:
    """The table of docs/client.md, from what each client failed in, with the reason."""
    rows = [HEADER, "|---|---|---|---|"]
    for scenario in SCENARIOS:
        name = scenario.id
        cells = (f"`{name}`", scenario.level.value, _cell(js, name), _cell(own, name))
        rows.append(f"| {' | '.join(cells)} |")
    passed = [f"**{len(SCENARIOS) - len(failed)} of {len(SCENARIOS)}**" for failed in (js, own)]
    rows.append(f"| passed | | {passed[0]} | {passed[1]} |")
    return "\n".join(rows)


def failures(report: Report) -> dict[str, str]:
    """What a client did not pass, with the first words of the reason."""
    return {
        verdict.scenario.id: verdict.finding.reason.partition(":")[0]
        for verdict in report.verdicts
        if verdict.finding.outcome.value != "passed"
    }


def _cell(failed: Mapping[str, str], name: str) -> str:
    return f"failed: {failed[name]}" if name in failed else "passed"


async def main() -> None:
    """Run both, one after the other."""
    app = web.Application()
    sessions = add_fault_server(app)
    async with serving(app) as base_url:
        process = await asyncio.create_subprocess_exec(
            "node", str(_SCRIPT), base_url, "phoenix.js", stdout=asyncio.subprocess.PIPE
        )
        try:
            js = failures(await settled(sessions, "phoenix.js", ALL))
        finally:
            process.kill()
            await process.communicate()
        async with playing(base_url, "client"):
            own = failures(await settled(sessions, "client", ALL))
    sys.stdout.write(table(js, own) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
