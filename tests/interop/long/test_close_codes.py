"""Which versions of npm `phoenix` come back after a close with 1000, as `clients.json` says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from phoenix_compat.conformance.suite.catalog import read_vectors
from tests.conftest import Serve
from tests.interop.long.needed import HERE, require_package
from tests.interop.long.test_phoenix_js_versions import PACKAGES
from tests.interop.test_phoenix_js import Run, node, run

__all__ = ["node", "run"]  # fixtures

pytestmark = [pytest.mark.long, pytest.mark.node]

(PHOENIX_JS,) = read_vectors("clients.json")["clients"]
(CHANGE,) = [one for one in PHOENIX_JS["changes"] if "1000" in one["what"]]

TIMERS_S = 1.0
"""The client tries again after 10 ms, if it does."""


def numbers(version: str) -> tuple[int, ...]:
    """The parts of a version, to compare."""
    return tuple(int(part) for part in version.split("."))


def stays_away(version: str) -> bool:
    """Whether clients.json says that this version does not reconnect after 1000."""
    return numbers(CHANGE["since"]) <= numbers(version) < numbers(CHANGE["until"])


def installed_version(folder: Path, name: str) -> str:
    """The version of a package in the folder's node_modules."""
    package = folder / "node_modules" / name / "package.json"
    return str(json.loads(package.read_text(encoding="utf-8"))["version"])


def closing_with(code: int) -> web.Application:
    """An application that accepts each websocket and closes it at once."""

    async def close(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.close(code=code)
        return response

    app = web.Application()
    app.router.add_get("/socket/websocket", close)
    return app


@pytest.mark.parametrize("code", [1000, 1001])
@pytest.mark.parametrize("name", [*PACKAGES, "phoenix"])
async def test_a_close_by_the_server(serve: Serve, run: Run, name: str, code: int) -> None:
    """Every version reconnects after 1001; those from 1.6.3 to 1.8.15 stay away after 1000."""
    folder = HERE.parent if name == "phoenix" else HERE
    if folder == HERE:
        require_package(name)
    version = await asyncio.to_thread(installed_version, folder, name)
    script = await run("close_code.mjs", await serve(closing_with(code)), str(folder), name)
    assert (await script.wait_for("close"))[-1] == ["close", code]

    if code == 1000 and stays_away(version):
        with pytest.raises(TimeoutError):
            await script.next(TIMERS_S)
    else:
        assert (await script.wait_for("open"))[-1] == ["open", None]
