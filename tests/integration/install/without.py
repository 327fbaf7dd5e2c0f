"""Runs Python as if some packages were not installed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from phoenix_compat.extras import MODULES
from tests.integration.operations.commands import Finished, environment, finish

CHAT_CLIENT: Final = Path(__file__).with_name("chat_client.py")
ALL: Final = frozenset(module for modules in MODULES.values() for module in modules)
"""What the extras install: without it the library is alone."""

_TEST_TOOLS: Final = (
    *("aioresponses", "blockbuster", "hypothesis", "jsonschema", "cyclonedx", "importlinter"),
)


async def python_without(modules: Sequence[str] | frozenset[str], code: str) -> Finished:
    """Run code in a fresh interpreter in which these modules cannot be imported."""
    names = sorted({*modules, *_TEST_TOOLS})
    hidden = f"import sys\nsys.modules.update(dict.fromkeys({names!r}))\n"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", hidden + code),
        env=environment({"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await finish(process)


async def command_without(modules: Sequence[str] | frozenset[str], *arguments: str) -> Finished:
    """Run `phoenix-compat` with arguments, without these modules."""
    code = f"sys.argv[1:] = {arguments!r}\nfrom phoenix_compat.__main__ import main\nmain()"
    return await python_without(modules, code)


def are_installed(modules: Sequence[str] | frozenset[str]) -> bool:
    """Whether hiding these modules hides anything."""
    return all(find_spec(module) is not None for module in modules)
