"""Runs commands in a thread of this process, beside a server on this event loop."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from phoenix_compat.cli import cli


async def invoke(*arguments: str | Path, **variables: str) -> Result:
    """Run a command to its end, with these environment variables."""
    texts = [str(argument) for argument in arguments]
    return await asyncio.to_thread(
        CliRunner().invoke, cli, texts, env=variables, prog_name="phoenix-compat"
    )


async def succeed(*arguments: str | Path, **variables: str) -> str:
    """Run a command that must succeed; returns what it printed on standard output."""
    result = await invoke(*arguments, **variables)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


async def succeed_json(*arguments: str | Path, **variables: str) -> Any:
    """The same of a command that prints JSON."""
    return json.loads(await succeed(*arguments, "--json", **variables))
