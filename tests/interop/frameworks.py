"""What clients do, from a refused connect to a restart of the server, with each framework."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.interop.asgi_apps import serving_framework
from tests.interop.test_phoenix_js import Run

TOKEN = "a?>b~/+ 12"
JOINED = ["joined", {"joined": "room:a"}]
_RECONNECT_S = 60.0
"""The older versions wait up to 10 s before each try."""


class Package(NamedTuple):
    """One version of npm `phoenix`.

    Attributes:
        folder: whose `node_modules` has the package.
        name: of the package, or its alias there.
        version: major and minor.
    """

    folder: Path
    name: str
    version: tuple[int, int]


async def check_scenario(run: Run, framework: str, package: Package, transport: str) -> None:
    """Take one version of npm `phoenix` through scenario.mjs."""
    version = package.version
    async with AsyncExitStack() as stopping:
        base_url = await stopping.enter_async_context(serving_framework(framework))
        script = await run(
            "scenario.mjs",
            base_url,
            str(package.folder),
            package.name,
            transport,
            "{}.{}".format(*version),
        )
        events = await script.wait_for("ready", _RECONNECT_S)
        await stopping.aclose()
        lost = await script.wait_for("close", _RECONNECT_S)
        async with serving_framework(framework, int(base_url.rpartition(":")[2])):
            again = await script.wait_for("left", _RECONNECT_S)
            await script.rest()

    binary: list[Any] = []
    if transport == "websocket" and version >= (1, 6):
        binary = [["replied", [0, 1, 128, 255]], ["broadcast", [5, 254]], ["replied", {}]]
    assert events == [
        ["connect refused", None],
        ["open", None],
        JOINED,
        ["replied", {"text": "né 😀"}],
        ["broadcast", {"n": 1}],
        ["replied", {}],
        *binary,
        *([["token", TOKEN]] if version >= (1, 8) else []),
        ["present", ["ann"]],
        ["errored", None],
        JOINED,
        ["ready", None],
    ]
    assert lost[-1] == ["close", None]
    assert again[-4:] == [["open", None], JOINED, ["replied", {"again": True}], ["left", None]]
