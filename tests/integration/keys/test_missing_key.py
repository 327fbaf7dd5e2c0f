"""A server that wants API keys and has none, as after an upgrade: it says so, also beforehand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.auth.keys.first_key import prepare_first_key
from phoenix_compat.server.auth.keys.missing_key import check_key
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.process.settings import Settings
from tests.integration.keys.key_harness import open_keys
from tests.integration.operations.commands import Finished, run

COMMAND = ("-m", "phoenix_compat")
PHONE = frozenset({Scope.READ})
EXPOSED = {"PHOENIX_COMPAT_HOST": "0.0.0.0"}  # noqa: S104 - as in the container


async def upgraded(folder: Path) -> Path:
    """A data directory with a database in which there never was a key."""
    async with open_keys(folder):
        pass
    return folder


async def command(folder: Path, *arguments: str, **changes: str) -> Finished:
    """Run a command with `auth = ["keys"]` on this data directory."""
    wanted = {"PHOENIX_COMPAT_AUTH": '["keys"]', "PHOENIX_COMPAT_DATA_DIR": str(folder), **changes}
    return await run(*COMMAND, *arguments, **wanted)


@pytest.mark.parametrize("changes", [{}, EXPOSED], ids=["loopback", "exposed"])
async def test_every_command_names_both_ways_out(
    tmp_path: Path, changes: Mapping[str, str]
) -> None:
    """`serve`, with one process or several, ends with exit code 2 and one line. `check-config` and
    `doctor` say the same. Where others reach the server, turning authentication off takes two
    settings."""
    folder = await upgraded(tmp_path)

    served = [
        await command(folder, "serve", "--port", "0", "--workers", workers, *more, **changes)
        for workers, more in (("1", ()), ("2", ()), ("1", ("--create-first-key",)))
    ]
    checked = await command(folder, "check-config", **changes)
    examined = await command(folder, "doctor", "--json", **changes)
    findings: Any = {one["name"]: one for one in msgspec.json.decode(examined.out)}

    way = 'auth = ["none"] and insecure_no_auth = true' if changes else 'auth = ["none"]'
    for finished in (*served, checked):
        assert finished.code == 2
        (line,) = finished.err.splitlines()
        assert line.startswith("Error: auth: there is no API key")
        assert "`phoenix-compat keys create NAME`" in line
        assert line.endswith(way)
    assert examined.code == 1
    assert findings["authentication"]["status"] == "fail"
    assert findings["authentication"]["remedy"].endswith(way)


async def test_either_way_out_works(tmp_path: Path) -> None:
    """With a key, or without authentication, the configuration is right."""
    off = await command(
        await upgraded(tmp_path / "a"), "check-config", PHOENIX_COMPAT_AUTH='["none"]'
    )
    everyone = await command(
        tmp_path / "a",
        "check-config",
        PHOENIX_COMPAT_AUTH='["none"]',
        PHOENIX_COMPAT_INSECURE_NO_AUTH="true",
        **EXPOSED,
    )
    created = await command(await upgraded(tmp_path / "b"), "keys", "create", "phone")
    checked = await command(tmp_path / "b", "check-config")

    assert [one.code for one in (off, everyone, created, checked)] == [0, 0, 0, 0], everyone.err


async def test_a_proxy_in_front_of_a_server_without_authentication(tmp_path: Path) -> None:
    """The server starts, and refuses what the proxy sends: `check-config` and `doctor` warn."""
    changes = {"PHOENIX_COMPAT_AUTH": '["none"]', "PHOENIX_COMPAT_ALLOWED_HOSTS": '["nas.lan"]'}

    checked = await command(tmp_path, "check-config", **changes)
    examined = await command(tmp_path, "doctor", "--json", **changes)
    findings: Any = {one["name"]: one for one in msgspec.json.decode(examined.out)}

    assert checked.code == 0
    assert checked.err.startswith("Warning: allowed_hosts are set, but without authentication")
    assert "--insecure-no-auth" in checked.err
    assert findings["authentication"]["status"] == "warn"


async def test_a_database_of_a_version_without_keys(tmp_path: Path) -> None:
    """It has none, and is not changed."""

    def make_old() -> bytes:
        with closing(sqlite3.connect(tmp_path / "tasks.sqlite3")) as database:
            database.execute("CREATE TABLE tasks (id TEXT)")
            database.commit()
        return (tmp_path / "tasks.sqlite3").read_bytes()

    before = await asyncio.to_thread(make_old)

    with pytest.raises(ConfigError, match="no API key"):
        await asyncio.to_thread(check, tmp_path, is_new_refused=False)

    assert await asyncio.to_thread((tmp_path / "tasks.sqlite3").read_bytes) == before


def check(folder: Path, *, is_new_refused: bool, auth: tuple[str, ...] = ("keys",)) -> None:
    """Check a data directory."""
    settings = Settings(data_dir=folder).model_copy(update={"auth": auth})
    check_key(settings, is_new_refused=is_new_refused)


async def test_a_revoked_key_was_one(tmp_path: Path) -> None:
    """Whoever revoked the last key knows that nobody gets in; a restart still works."""
    async with open_keys(tmp_path) as keys:
        await keys.create("phone", PHONE)
        await keys.revoke("phone")

    await asyncio.to_thread(check, tmp_path, is_new_refused=True)


def test_a_new_installation(tmp_path: Path) -> None:
    """Without a database it may be configured before its first start, but does not start without
    a key. A package creates the first key with the start."""
    check(tmp_path, is_new_refused=False)
    with pytest.raises(ConfigError, match="no API key"):
        check(tmp_path, is_new_refused=True)

    prepare_first_key(tmp_path / "tasks.sqlite3")

    check(tmp_path, is_new_refused=True)


def test_what_cannot_be_read_is_left_to_the_start(tmp_path: Path) -> None:
    """A damaged database has an error of its own; other credentials need no key."""
    (tmp_path / "tasks.sqlite3").write_bytes(b"not a database" * 100)

    check(tmp_path, is_new_refused=True)
    check(tmp_path / "none", is_new_refused=True, auth=("keys", "phoenix_token"))
    check(tmp_path / "none", is_new_refused=True, auth=("none",))
