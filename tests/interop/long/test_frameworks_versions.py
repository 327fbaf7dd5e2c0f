"""Older versions of npm `phoenix` against aiohttp, Starlette, FastAPI and Django."""

from __future__ import annotations

import pytest

from tests.interop.asgi_apps import FRAMEWORKS
from tests.interop.frameworks import Package, check_scenario
from tests.interop.long.needed import HERE, require_package
from tests.interop.test_phoenix_js import Run, node, run

__all__ = ["node", "run"]  # fixtures

pytestmark = [pytest.mark.long, pytest.mark.node, pytest.mark.timeout(240)]

VERSIONS = ((1, 3), (1, 5), (1, 6), (1, 7))


@pytest.mark.parametrize("transport", ["websocket", "longpoll"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: "{}.{}".format(*version))
async def test_older_phoenix_js(
    run: Run, version: tuple[int, int], framework: str, transport: str
) -> None:
    """Each goes through the whole scenario; what it cannot do yet is left out."""
    name = "phoenix-{}.{}".format(*version)
    require_package(name)

    await check_scenario(run, framework, Package(HERE, name, version), transport)
