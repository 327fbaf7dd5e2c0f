"""`python -m phoenix_compat.emulator` as a separate process."""

from __future__ import annotations

import asyncio
import re
import signal
import sys

import aiohttp
import pytest
from click.testing import CliRunner

from phoenix_compat.cli import cli
from phoenix_compat.emulator.__main__ import main
from tests.patience import patient


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda ending: ending.name)
async def test_it_prints_its_url_and_stops_cleanly(ending: signal.Signals) -> None:
    """The printed URL works; a signal ends the process with exit code 0 and without a traceback."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "phoenix_compat.emulator", "--port", "0", "--speed", "20"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    head = (await process.stdout.readuntil(b"curl")).decode()
    token = re.search(r"export REPLICATE_API_TOKEN=(\S+)", head)
    base_url = re.search(r"export REPLICATE_BASE_URL=(\S+)", head)
    assert token is not None
    assert base_url is not None

    headers = {"Authorization": f"Bearer {token[1]}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{base_url[1]}/account") as answer,
    ):
        status = answer.status
    process.send_signal(ending)
    _, errors = await asyncio.wait_for(process.communicate(), patient(5))

    assert (status, process.returncode, errors) == (200, 0, b"")


def test_invalid_settings_are_a_usage_error() -> None:
    """The exit code is 2, and the output has the reason."""
    result = CliRunner().invoke(main, ["--speed", "0"])

    assert result.exit_code == 2
    assert "speed must be above 0" in result.output


@pytest.mark.parametrize("command", [("emulator",), ("conformance", "serve")])
def test_an_allowed_host_is_only_a_name(command: tuple[str, ...]) -> None:
    """Both servers with control routes refuse a URL and say what to write instead."""
    result = CliRunner().invoke(cli, [*command, "--port", "0", "--allowed-host", "http://box:1"])

    assert result.exit_code == 2
    assert "write 'box'" in result.output
