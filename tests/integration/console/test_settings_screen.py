"""Settings, backups and the doctor in the console of a server that the command has started."""

from __future__ import annotations

import asyncio
import json
import tarfile
from pathlib import Path

from tests.integration.console.console_harness import console_of
from tests.integration.operations import commands
from tests.integration.task_server import Client
from tests.patience import patient

SERVE = ("-m", "phoenix_compat", "serve", "--port", "0", "--data-dir")


async def test_a_server_of_the_command(tmp_path: Path) -> None:
    """Origins are known; a backup is written beside the data; the doctor says what it found."""
    config = tmp_path / "config.toml"
    config.write_text("concurrency = 3\n")
    data = tmp_path / "data"
    command = (*SERVE, str(data), "--config", str(config))
    async with commands.server(*command) as (_, url), Client.of(url) as client:
        await client.ended(await client.post())

        config.write_text("concurrency = 4\n")
        _, view = await client.request("GET", "/api/console/settings")
        shown = {setting["name"]: setting for setting in view["settings"]}
        assert shown["data_dir"]["origin"] == "flag --data-dir"
        assert (shown["concurrency"]["value"], shown["concurrency"]["pending"]) == ("3", "4")

        assert (await client.request("POST", "/api/console/backup", json={}))[0] == 202
        async with asyncio.timeout(patient(20.0)):
            while True:
                _, state = await client.request("GET", "/api/console/backup")
                if state["state"] != "running":
                    break
                await asyncio.sleep(0.05)
        assert (state["state"], state["summary"][:8]) == ("done", "1 tasks ")
        with tarfile.open(state["file"]) as tar:
            assert "manifest.json" in tar.getnames()

        status, found = await client.request("POST", "/api/console/doctor", json={})
        assert status == 200
        names = {finding["name"]: finding["status"] for finding in found["findings"]}
        assert names["database"] == "ok", json.dumps(found)
        assert set(names.values()) <= {"ok", "warn", "fail"}


async def test_a_server_without_the_command(tmp_path: Path) -> None:
    """Settings are shown; what needs the commands says so."""
    async with console_of(tmp_path) as console:
        status, view = await console.ask("GET", "/api/console/settings")
        _, backup = await console.ask("GET", "/api/console/backup")
        refused = [
            await console.ask("POST", "/api/console/backup", json={}),
            await console.ask("POST", "/api/console/doctor", json={}),
        ]

    assert (status, len(view["settings"]) > 50) == (200, True)
    assert backup["state"] == "unavailable"
    assert [status for status, _ in refused] == [503] * 2
