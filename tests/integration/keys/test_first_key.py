"""The first key of a fresh package: created once, whenever the server is killed."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from phoenix_compat.server.auth.keys import first_key
from phoenix_compat.server.auth.keys.api_keys import is_key
from phoenix_compat.server.auth.keys.first_key import complete_first_key, prepare_first_key
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.tasks.model.errors import StoreInUseError
from phoenix_compat.tasks.store.sqlite.database_file import lock_file
from tests.integration.keys.key_harness import open_keys

DATABASE = "tasks.sqlite3"
FILE = "first-key"
UNFINISHED = "first-key.part"
SCOPES = frozenset({Scope.OPERATE, Scope.CREATE, Scope.READ, Scope.CANCEL})


async def start(folder: Path, *, is_package: bool = True) -> None:
    """Start a server in this folder and stop it, as far as keys are concerned."""
    if is_package:
        await asyncio.to_thread(prepare_first_key, folder / DATABASE)
    async with open_keys(folder) as keys:
        await complete_first_key(keys, folder)


async def found(folder: Path, key: str) -> Any:
    """What a key in a file is, in the database."""
    async with open_keys(folder) as keys:
        return await keys.find(key.strip())


async def text_of(path: Path) -> str:
    """The text of a file; empty if there is none."""
    return await asyncio.to_thread(lambda: path.read_text() if path.exists() else "")


async def test_a_fresh_installation_has_a_key(tmp_path: Path) -> None:
    """It is alone in a file of mode 0600, may do what an operator does, and is named `first`."""
    with capture_logs() as lines:
        await start(tmp_path / "new")

    key = await text_of(tmp_path / "new" / FILE)
    assert is_key(key.removesuffix("\n"))
    mode = (await asyncio.to_thread((tmp_path / "new" / FILE).stat)).st_mode
    assert stat.S_IMODE(mode) == 0o600
    used = await found(tmp_path / "new", key)
    assert (used.name, used.scopes) == ("first", SCOPES)
    assert {"event": "key.first_created", "path": str(tmp_path / "new" / FILE)}.items() <= lines[
        -1
    ].items()
    assert key.strip() not in str(lines)
    assert await text_of(tmp_path / "new" / UNFINISHED) == ""


async def test_it_is_created_once(tmp_path: Path) -> None:
    """Later starts change nothing, also after the file was deleted and the key revoked."""
    await start(tmp_path)
    key = await text_of(tmp_path / FILE)
    await start(tmp_path)
    assert await text_of(tmp_path / FILE) == key
    await asyncio.to_thread((tmp_path / FILE).unlink)
    async with open_keys(tmp_path) as keys:
        await keys.revoke("first")

    await start(tmp_path)

    assert await text_of(tmp_path / FILE) == ""
    assert await found(tmp_path, key) is None


async def test_an_upgrade_creates_none(tmp_path: Path) -> None:
    """An installation that has a database gets no key, and so does one that is no package."""
    await start(tmp_path, is_package=False)
    await start(tmp_path)

    async with open_keys(tmp_path) as keys:
        assert await keys.records() == []
    assert await text_of(tmp_path / FILE) == ""


async def test_an_empty_database_file_is_fresh(tmp_path: Path) -> None:
    """The supervisor of several processes has created it by then, to lock it."""
    await asyncio.to_thread((tmp_path / DATABASE).touch)

    await start(tmp_path)

    assert await found(tmp_path, await text_of(tmp_path / FILE)) is not None


async def test_a_new_database_gets_a_new_key(tmp_path: Path) -> None:
    """If the database was moved away, the key in the old file would be of no use."""
    await start(tmp_path)
    old = await text_of(tmp_path / FILE)
    await asyncio.to_thread((tmp_path / DATABASE).unlink)

    await start(tmp_path)

    assert await text_of(tmp_path / FILE) != old
    assert await found(tmp_path, await text_of(tmp_path / FILE)) is not None


class KilledError(BaseException):
    """The server was killed here."""


def dying(call: Callable[..., Any], *, is_after: bool) -> Callable[..., Any]:
    """The same call, during which the process is killed."""

    def die(*arguments: Any) -> None:
        if is_after:
            call(*arguments)
        raise KilledError

    return die


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("step", ["_write", "_rename", "sha256_of", "new_key"])
async def test_a_killed_server_completes_the_key_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, is_after: bool
) -> None:
    """At the next start there is a file, and the key in it works."""
    module = first_key if step != "sha256_of" else "phoenix_compat.server.auth.keys.key_store"
    name = f"{module}.{step}" if isinstance(module, str) else f"{module.__name__}.{step}"
    with monkeypatch.context() as patch:
        original = getattr(first_key, step)
        patch.setattr(name, dying(original, is_after=is_after))
        with pytest.raises(KilledError):
            await start(tmp_path)

    await start(tmp_path)

    key = await text_of(tmp_path / FILE)
    used = await found(tmp_path, key)
    assert (used.name, used.scopes) == ("first", SCOPES)
    assert await text_of(tmp_path / UNFINISHED) == ""
    async with open_keys(tmp_path) as keys:
        assert [record.name for record in await keys.records()] == ["first"]


async def test_a_server_killed_after_the_database_was_created(tmp_path: Path) -> None:
    """The database exists, the key is not stored: the next start stores it."""
    await asyncio.to_thread(prepare_first_key, tmp_path / DATABASE)
    async with open_keys(tmp_path):
        pass

    await start(tmp_path)

    assert await found(tmp_path, await text_of(tmp_path / FILE)) is not None


async def test_a_server_killed_before_the_file_was_renamed(tmp_path: Path) -> None:
    """The hash is stored, the file not renamed: the next start renames it."""
    await asyncio.to_thread(prepare_first_key, tmp_path / DATABASE)
    key = (await text_of(tmp_path / UNFINISHED)).strip()
    async with open_keys(tmp_path) as keys:
        await keys.create("first", SCOPES, key)

    await start(tmp_path)

    assert await text_of(tmp_path / FILE) == f"{key}\n"
    assert await found(tmp_path, key) is not None


@pytest.mark.parametrize("text", ["", "pck_", "\n", "x" * 1_000, "pck_" + "A" * 42])
async def test_a_broken_unfinished_file_is_written_again(tmp_path: Path, text: str) -> None:
    """Before the database exists, and after."""
    for folder in (tmp_path / "before", tmp_path / "after"):
        await asyncio.to_thread(folder.mkdir)
        if folder.name == "after":
            async with open_keys(folder):
                pass
        await asyncio.to_thread((folder / UNFINISHED).write_text, text)

        await start(folder)

        assert await found(folder, await text_of(folder / FILE)) is not None
        mode = (await asyncio.to_thread((folder / FILE).stat)).st_mode
        assert stat.S_IMODE(mode) == 0o600


async def test_a_key_named_first_that_was_made_by_hand_stays(tmp_path: Path) -> None:
    """The unfinished file is removed, because its key will never work."""
    await asyncio.to_thread(prepare_first_key, tmp_path / DATABASE)
    async with open_keys(tmp_path) as keys:
        key = await keys.create("first", {Scope.READ})

    await start(tmp_path)

    assert (await found(tmp_path, key)).scopes == {Scope.READ}
    assert await text_of(tmp_path / FILE) + await text_of(tmp_path / UNFINISHED) == ""


async def test_a_running_server_is_not_disturbed(tmp_path: Path) -> None:
    """A second server on the same folder fails before it writes anything."""
    with (
        await asyncio.to_thread(lock_file, tmp_path / DATABASE),
        pytest.raises(StoreInUseError),
    ):
        await asyncio.to_thread(prepare_first_key, tmp_path / DATABASE)

    assert await text_of(tmp_path / UNFINISHED) == ""
