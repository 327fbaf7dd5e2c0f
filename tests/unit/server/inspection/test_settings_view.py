"""The settings that operators see: values without secrets, origins, and what a reload changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import SecretStr

from phoenix_compat.server.inspection.operator_tools import OperatorTools
from phoenix_compat.server.inspection.settings_view import Setting, SettingsView, settings_view
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import Configuration, load_configuration
from tests.unit.server.inspection.tools_of_tests import tools_of

TOKEN = "r8_" + "a" * 37


def tools(config: Path) -> OperatorTools:
    """Tools that read this file, and a variable."""

    def load() -> Configuration:
        return load_configuration({"port": 4242}, config, {"PHOENIX_COMPAT_HOST": "127.0.0.9"})

    return tools_of(load)


def named(view: SettingsView, name: str) -> Setting:
    """The setting with this name."""
    (found,) = [setting for setting in view.settings if setting.name == name]
    return found


async def test_values_origins_and_groups(tmp_path: Path) -> None:
    """All settings are there, and say where they come from."""
    config = tmp_path / "config.toml"
    config.write_text(f'replicate_api_token = "{TOKEN}"\nconcurrency = 3\n')
    given = tools(config)

    running = (await asyncio.to_thread(given.load)).settings

    view = await settings_view(running, given)

    assert [setting.name for setting in view.settings] == list(Settings.model_fields)
    assert (view.file, view.error) == (str(config), "")
    port, host = named(view, "port"), named(view, "host")
    assert (port.value, port.origin, port.group) == ("4242", "flag --port", "General")
    assert (host.value, host.origin) == ("127.0.0.9", "variable PHOENIX_COMPAT_HOST")
    assert named(view, "concurrency").origin == f"file {config}"
    assert (named(view, "workers").origin, named(view, "workers").reloads) == ("default", False)
    assert named(view, "owner_usd_per_day").group == "Budget"
    assert TOKEN not in str(view)
    assert all(setting.description for setting in view.settings)
    assert [setting.name for setting in view.settings if setting.pending is not None] == []


async def test_what_a_reload_would_change(tmp_path: Path) -> None:
    """A changed file is shown beside the running settings; a broken one with its mistake."""
    config = tmp_path / "config.toml"
    config.write_text("concurrency = 3\n")
    given = tools(config)
    running = (await asyncio.to_thread(given.load)).settings
    config.write_text('concurrency = 5\ndata_dir = "elsewhere"\n')

    view = await settings_view(running, given)
    config.write_text("concurency = 5\n")
    broken = await settings_view(running, given)

    concurrency, data_dir = named(view, "concurrency"), named(view, "data_dir")
    assert (concurrency.value, concurrency.pending, concurrency.reloads) == ("3", "5", True)
    assert (data_dir.pending, data_dir.reloads) == (str(tmp_path / "elsewhere"), False)
    assert "did you mean concurrency?" in broken.error
    assert named(broken, "concurrency").pending is None


async def test_without_the_command_origins_are_unknown() -> None:
    """Only a default value is known to be one."""
    running = Settings(port=4001, replicate_api_token=SecretStr(TOKEN))

    view = await settings_view(running, None)

    assert named(view, "port").origin is None
    assert named(view, "host").origin == "default"
    assert TOKEN not in str(view)
