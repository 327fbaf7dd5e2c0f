"""Where keys must not be: backups, exports, `config show`; and what a backup has of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import CliRunner

from phoenix_compat.cli import cli
from phoenix_compat.server.auth.keys.api_keys import ApiKey, sha256_of
from phoenix_compat.server.auth.principal import Scope
from tests.integration.keys.key_harness import open_keys


def run(*arguments: str | Path) -> str:
    """Run a command, which must succeed; returns what it printed."""
    result = CliRunner().invoke(cli, [*map(str, arguments)], prog_name="phoenix-compat")
    assert result.exit_code == 0, result.output
    return result.output


def found(folder: Path, key: str) -> ApiKey | None:
    """What a key is in the database of a folder."""

    async def find() -> ApiKey | None:
        async with open_keys(folder) as keys:
            return await keys.find(key)

    return asyncio.run(find())


def test_a_backup_has_the_hash_and_not_the_key(tmp_path: Path) -> None:
    """A key works after a restore, though the backup does not contain it. One that was revoked
    since works again, as the documentation says."""
    data, out, restored = tmp_path / "data", tmp_path / "out.tar", tmp_path / "restored"
    key = run("keys", "create", "phone", "--data-dir", data).split()[0]
    (data / "first-key").write_text(key)

    printed = run("backup", "--data-dir", data, out)
    run("keys", "revoke", "phone", "--data-dir", data)
    printed += run("restore", "--data-dir", restored, out)

    assert sha256_of(key).encode() in out.read_bytes()
    assert key.encode() not in out.read_bytes()
    assert key not in printed
    assert found(data, key) is None
    assert found(restored, key) == ApiKey(
        name="phone", scopes=frozenset({Scope.CREATE, Scope.READ, Scope.CANCEL})
    )
    assert not (restored / "first-key").exists()


def test_other_commands_do_not_show_keys(tmp_path: Path) -> None:
    """Neither the key nor its hash is in an export, or in the settings."""
    key = run("keys", "create", "phone", "--data-dir", tmp_path).split()[0]

    shown = run("export", "--data-dir", tmp_path) + run("config", "show", "--origin")

    assert key not in shown
    assert sha256_of(key) not in shown
