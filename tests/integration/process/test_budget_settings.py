"""The settings about money and models: in a server, after a reload, and when they are wrong."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from phoenix_compat.server.engine import check_settings
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import load_settings
from phoenix_compat.server.process.settings.setting_errors import SettingsError
from phoenix_compat.tasks.model.caps import Caps, Limits
from phoenix_compat.tasks.model.model_policy import PolicyRules
from tests.integration.operations.commands import finish, run, server
from tests.integration.process.test_reload import COMMAND, line_with, write
from tests.integration.task_server import Client, product, settings_for

FLUX = "black-forest-labs/flux-schnell"


def monk(**inputs: Any) -> dict[str, Any]:
    return {"input_data": {"type": "image", "prompt": "Medieval monk", **inputs}}


async def status_of(client: Client, **inputs: Any) -> tuple[int, str]:
    """The status of an order, and the last word of its problem."""
    status, body = await client.request("POST", "/api/tasks", json=monk(**inputs))
    return status, str(body.get("type", "")).rpartition(":")[2]


async def test_a_server_without_caps_accepts_what_it_always_did(tmp_path: Path) -> None:
    """Any model and any number of tasks; but not a million pictures, or a model without checks."""
    async with product(settings_for(tmp_path)) as client:
        assert await status_of(client, model="any/body") == (202, "")
        assert await status_of(client, model=FLUX, num_outputs=4) == (202, "")
        assert await status_of(client, model=FLUX, num_outputs=1_000_000) == (422, "invalid-input")
        assert await status_of(client, model=FLUX, disable_safety_checker=True) == (
            403,
            "not-allowed",
        )


async def test_a_server_applies_its_caps(tmp_path: Path) -> None:
    """Money, numbers and models are limited as the settings say."""
    settings = settings_for(
        tmp_path,
        owner_usd_per_day=0.03,
        total_tasks_per_month=2,
        allowed_models=("google/*", "you/*", FLUX),
        allow_unsafe_inputs=True,
        max_outputs=2,
    )
    async with product(settings) as client:
        assert await status_of(client, model="you/unpriced") == (403, "not-allowed")
        assert await status_of(client, model="recraft-ai/recraft-v3") == (403, "not-allowed")
        assert await status_of(client, model=FLUX, num_outputs=3) == (422, "invalid-input")
        assert await status_of(client) == (202, "")
        assert await status_of(client) == (402, "cap-reached")
        flux = {"model": FLUX, "disable_safety_checker": True, "num_outputs": 2}
        assert await status_of(client, **flux) == (202, "")
        assert await status_of(client, model=FLUX) == (429, "quota-reached")


async def test_an_unpriced_model_may_be_allowed(tmp_path: Path) -> None:
    """With allow_unpriced_models it runs beside a cap, and is not counted."""
    settings = settings_for(tmp_path, owner_usd_per_day=0.02, allow_unpriced_models=True)
    async with product(settings) as client:
        assert await status_of(client, model="you/unpriced") == (202, "")
        assert await status_of(client) == (202, "")
        assert await status_of(client, model="you/unpriced") == (402, "cap-reached")


async def test_caps_change_on_reload(tmp_path: Path) -> None:
    """A new cap counts what was ordered before; a higher one lets further orders in."""
    config = tmp_path / "c.toml"
    start = ('data_dir = "data"', "emulator_speed = 20", 'log_level = "warning"')
    write(config, *start)
    async with (
        server(*COMMAND, "--config", str(config)) as (process, url),
        aiohttp.ClientSession() as http,
    ):
        client = Client(url, http)
        statuses = [await status_of(client)]
        for lines in (("owner_tasks_per_month = 1",), ("owner_tasks_per_month = 2",)):
            write(config, *start, *lines, f'allowed_models = ["google/*", "{FLUX}"]')
            process.send_signal(signal.SIGHUP)
            await line_with(process, "config.reloaded")
            statuses += [await status_of(client, model="a/b"), await status_of(client)]

        process.send_signal(signal.SIGTERM)
        await finish(process)

    forbidden = (403, "not-allowed")
    assert statuses == [(202, ""), forbidden, (429, "quota-reached"), forbidden, (202, "")]


def test_the_settings_become_caps_and_rules(tmp_path: Path) -> None:
    """From the environment, in micro-dollars; a cap in dollars needs prices."""
    found = load_settings(
        {},
        Path(os.devnull),
        {
            "PHOENIX_COMPAT_OWNER_USD_PER_DAY": "5",
            "PHOENIX_COMPAT_OWNER_TASKS_PER_MONTH": "100",
            "PHOENIX_COMPAT_TOTAL_USD_PER_MONTH": "0.000001",
            "PHOENIX_COMPAT_ALLOWED_MODELS": json.dumps(["google/*", "a/b:1"]),
        },
    )

    assert found.caps == Caps(
        owner_per_day=Limits(microdollars=5_000_000),
        owner_per_month=Limits(tasks=100),
        total_per_month=Limits(microdollars=1),
    )
    assert found.policy_rules(is_open=False) == PolicyRules(
        allowed_models=("google/*", "a/b:1"), is_open=False, needs_price=True
    )
    assert Settings(owner_tasks_per_day=0).policy_rules() == PolicyRules()
    assert Settings().caps == Caps()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OWNER_USD_PER_DAY", "-1"),
        ("OWNER_USD_PER_DAY", "nan"),
        ("TOTAL_USD_PER_MONTH", "inf"),
        ("TOTAL_TASKS_PER_DAY", "1.5"),
        ("MAX_OUTPUTS", "0"),
        ("ALLOWED_MODELS", '["imagen"]'),
        ("ALLOWED_MODELS", '["google/imagen 4"]'),
        ("ALLOWED_MODELS", "google/*"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    """The error names the variable; nothing is guessed."""
    variable = f"PHOENIX_COMPAT_{name}"

    with pytest.raises(SettingsError, match=variable):
        load_settings({}, Path(os.devnull), {variable: value})


async def test_a_list_without_the_default_model_is_an_error(tmp_path: Path) -> None:
    """The server would refuse every task that names no model, so it does not start."""
    config = tmp_path / "c.toml"
    write(config, 'allowed_models = ["black-forest-labs/*"]')

    checked = await run("-m", "phoenix_compat", "check-config", "--config", str(config))

    assert checked.code == 2
    assert "allowed_models" in checked.err
    assert "google/imagen-4-fast" in checked.err


def test_a_list_with_the_default_model_is_fine() -> None:
    """Also as a glob, and in another case."""
    check_settings(Settings(allowed_models=("Google/*",)))
