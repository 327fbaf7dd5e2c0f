"""Commands for operators of several machines, and those that work on a file only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from phoenix_compat.cli import cli
from phoenix_compat.errors import ConfigError
from phoenix_compat.operations.doctor.finding import Finding
from phoenix_compat.operations.doctor.shared import check_bus, check_shared
from phoenix_compat.operations.keys import run_key_command
from phoenix_compat.operations.nodes import list_nodes
from phoenix_compat.server.control.key_commands import CREATE, LIST, REVOKE
from phoenix_compat.server.inspection.inspection import INSPECTION
from phoenix_compat.server.process.settings import Settings
from tests.integration.nodes.nodes_harness import (
    RunningNode,
    node_settings,
    running_node,
    shared_emulator,
)
from tests.integration.operations import commands
from tests.integration.task_server import settings_for
from tests.patience import patient
from tests.services.postgres import PASSWORD

_SCOPES = {"name": "phone", "scopes": ["create", "read"]}


@pytest.fixture
async def settings(tmp_path: Path, postgres_url: str) -> AsyncIterator[Settings]:
    """The settings of a node."""
    async with shared_emulator() as emulator:
        yield node_settings(tmp_path / "node", postgres_url, emulator)


@pytest.fixture
async def node(settings: Settings) -> AsyncIterator[RunningNode]:
    """A node that runs."""
    async with running_node(settings) as running:
        yield running


def elsewhere(settings: Settings, tmp_path: Path) -> Settings:
    """The same server's settings on a machine where none runs."""
    return settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})


async def findings(settings: Settings) -> dict[str, Finding]:
    """What the doctor finds, by what it checks."""
    return {finding.name: finding async for finding in check_shared(settings)}


async def test_nodes_are_listed(node: RunningNode, settings: Settings, tmp_path: Path) -> None:
    """With what the database and the bus know of them; one that has gone is not there any more."""
    seen = elsewhere(settings, tmp_path)
    async with asyncio.timeout(patient(8.0)):
        found = await list_nodes(seen)
        while not found.nodes[0].url:
            await asyncio.sleep(0.1)
            found = await list_nodes(seen)

    [one] = found.nodes
    assert one.url == node.url
    assert (one.state, one.running, one.leases, found.is_bus_heard) == ("up", 0, 0, True)
    assert one.seen_s < patient(15.0)


async def test_a_server_that_is_alone_has_no_nodes(tmp_path: Path) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigError, match="database_url: is not set"):
        await list_nodes(settings_for(tmp_path))


async def test_the_doctor_finds_a_healthy_database(node: RunningNode, settings: Settings) -> None:
    """And says what it has found, without a password."""
    del node
    found = await findings(settings)

    assert [one for one in found.values() if one.status != "ok"] == []
    assert "schema version 7" in found["database"].detail
    assert found["PgBouncer"].detail == "not used"
    assert "passes messages on, in " in found["bus"].detail
    assert not any(PASSWORD in str(one) for one in found.values())


async def test_the_doctor_finds_what_is_wrong(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database whose commits may be lost, a clock that is wrong, and nobody who answers."""
    import asyncpg  # noqa: PLC0415 - an extra

    name = postgres_url.rpartition("/")[2]
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await connection.close()
    monkeypatch.setattr("phoenix_compat.operations.doctor.shared.MAX_SKEW_S", -1.0)
    monkeypatch.setattr("phoenix_compat.operations.doctor.shared.SLOW_S", 0.0)
    found = await findings(settings)
    assert "without tables yet" in found["database"].detail
    wrong = {name for name, one in found.items() if one.status == "warn"}
    assert wrong == {"database latency", "clock", "synchronous_commit"}

    monkeypatch.setattr("phoenix_compat.operations.doctor.shared.BUS_S", 0.2)
    nowhere = settings.model_validate(
        {**settings.model_dump(), "database_url": f"postgresql://app:{PASSWORD}@127.0.0.1:1/x"}
    )
    found = await findings(nowhere)

    assert found.keys() == {"database", "bus"}
    assert {one.status for one in found.values()} == {"fail"}
    assert not any(PASSWORD in str(one) for one in found.values())
    assert (await check_bus(nowhere)).status == "fail"


async def test_keys_are_managed_on_any_machine(
    node: RunningNode, settings: Settings, tmp_path: Path
) -> None:
    """Also where no server runs: those that run hear of it."""
    other = elsewhere(settings, tmp_path)
    key = (await run_key_command(other, CREATE, _SCOPES))["key"]
    keys = node.app[INSPECTION].keys
    async with asyncio.timeout(patient(5.0)):
        while not keys.is_live("phone"):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    assert await keys.find(key)
    assert [one["name"] for one in await run_key_command(settings, LIST, {})] == ["phone"]

    await run_key_command(other, REVOKE, {"name": "phone"})

    async with asyncio.timeout(patient(5.0)):
        while keys.is_live("phone"):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "arguments",
    [("backup",), ("upgrade",), ("prune", "--older-than", "1")],
    ids=lambda arguments: str(arguments[0]),
)
def test_commands_for_a_file_are_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """They would work on an empty database; the error says what to use."""
    environment = {"PHOENIX_COMPAT_DATABASE_URL": f"postgresql://app:{PASSWORD}@127.0.0.1:1/x"}

    finished = CliRunner().invoke(cli, [*arguments, "--data-dir", str(tmp_path)], env=environment)

    assert finished.exit_code == 2
    assert finished.stderr.startswith("Error: database_url: the tasks are in PostgreSQL")
    assert PASSWORD not in finished.stderr


async def test_config_show_has_no_password(postgres_url: str) -> None:
    """The host stays readable."""
    finished = await commands.run(
        *("server.py", "config", "show"), PHOENIX_COMPAT_DATABASE_URL=postgres_url
    )

    assert finished.code == 0
    assert PASSWORD not in finished.out + finished.err
    assert "postgresql://**********@127.0.0.1:" in finished.out
