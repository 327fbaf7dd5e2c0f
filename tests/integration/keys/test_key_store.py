"""API keys in the database: created, found, listed, revoked."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.auth.keys import key_store
from phoenix_compat.server.auth.keys.api_keys import ApiKey, ApiKeyError, KeyNameTakenError, is_key
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.sqlite.database import SQLiteDatabase
from tests.integration.keys.key_harness import StandingClock, contents, open_keys
from tests.patience import patient

READ = frozenset({Scope.READ})


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[KeyStore]:
    """Keys in an empty database."""
    async with open_keys(tmp_path) as opened:
        yield opened


async def test_a_created_key_is_found(keys: KeyStore) -> None:
    """It has the name and the scopes that it was created with, and an owner of its own."""
    key = await keys.create("phone", READ)

    found = await keys.find(key)

    assert is_key(key)
    assert len(key) == 47
    assert found == ApiKey(name="phone", scopes=READ)
    assert found.owner == "key:phone"


@pytest.mark.parametrize(
    "text", ["", "pck_", "pck_" + "A" * 43, "pck_" + "A" * 10_000, "ключ", "\ud800", "pck_ä\0\n"]
)
async def test_other_texts_are_not_found(keys: KeyStore, text: str) -> None:
    """A text that is not a key, or an unknown key, is not found, and is no error."""
    await keys.create("phone", READ)

    assert await keys.find(text) is None


async def test_a_lookup_does_not_read_the_disk(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known and unknown keys are looked up while the database cannot be read."""
    key = await keys.create("phone", READ)

    async def fail(*_arguments: Any) -> list[sqlite3.Row]:
        raise StoreUnavailableError("no disk")

    monkeypatch.setattr(SQLiteDatabase, "read", fail)

    assert await keys.find(key) is not None
    assert await keys.find("pck_" + "A" * 43) is None


async def test_the_key_itself_is_not_stored(tmp_path: Path) -> None:
    """No file of the data folder, and no log line, has the key."""
    with capture_logs() as lines:
        async with open_keys(tmp_path) as keys:
            key = await keys.create("phone", READ)
            await keys.find(key)
            stored = await asyncio.to_thread(contents, tmp_path)

    assert b"phone" in stored
    assert key.encode() not in stored
    assert key.removeprefix("pck_").encode() not in stored
    assert lines
    assert key not in str(lines)


async def test_keys_survive_a_restart(tmp_path: Path) -> None:
    """A key is found after the database was opened again; a revoked one is not."""
    async with open_keys(tmp_path) as keys:
        valid, revoked = await keys.create("a", READ), await keys.create("b", READ)
        await keys.revoke("b")

    async with open_keys(tmp_path) as keys:
        assert await keys.find(valid) == ApiKey(name="a", scopes=READ)
        assert await keys.find(revoked) is None


async def test_a_name_is_taken_until_its_key_is_revoked(keys: KeyStore) -> None:
    """Then a new key gets the name and the owner, and the old one stays revoked."""
    old = await keys.create("phone", READ)
    with pytest.raises(KeyNameTakenError, match="phone"):
        await keys.create("phone", READ)
    await keys.revoke("phone")

    new = await keys.create("phone", {Scope.CREATE})

    assert await keys.find(old) is None
    assert await keys.find(new) == ApiKey(name="phone", scopes=frozenset({Scope.CREATE}))
    [record] = await keys.records()
    assert (record.scopes, record.revoked_at) == (("create",), None)


async def test_one_of_many_creates_of_a_name_succeeds(keys: KeyStore) -> None:
    """Of 50 creates of the same name at once, one returns a key, which is found."""
    results = await asyncio.gather(
        *(keys.create("phone", READ) for _ in range(50)), return_exceptions=True
    )

    created = [result for result in results if isinstance(result, str)]
    assert len(created) == 1
    assert sum(isinstance(result, KeyNameTakenError) for result in results) == 49
    assert await keys.find(created[0]) is not None


async def test_creates_and_revocations_at_once_end_in_the_stored_state(tmp_path: Path) -> None:
    """Whatever the order was, memory and database agree."""
    made: list[str] = []

    async def create(keys: KeyStore) -> None:
        with contextlib.suppress(KeyNameTakenError):
            made.append(await keys.create("phone", READ))

    async def revoke(keys: KeyStore) -> None:
        with contextlib.suppress(ApiKeyError):
            await keys.revoke("phone")

    async with open_keys(tmp_path) as keys:
        await asyncio.gather(*(action(keys) for _ in range(25) for action in (create, revoke)))
        in_memory = [key for key in made if await keys.find(key) is not None]

    async with open_keys(tmp_path) as keys:
        assert [key for key in made if await keys.find(key) is not None] == in_memory
    assert len(made) > 1


@pytest.mark.parametrize(
    "name", ["", ".a", "-a", "_a", "a b", "a/b", "ä", "a\n", "a\0", "key:a", "x" * 65, "\ud800"]
)
async def test_other_names_are_refused(keys: KeyStore, name: str) -> None:
    """The error says which names are possible."""
    with pytest.raises(ApiKeyError, match="1 to 64 letters, digits"):
        await keys.create(name, READ)

    assert await keys.records() == []


@pytest.mark.parametrize("name", ["a", "0", "A.b-c_d", "x" * 64])
async def test_names_that_are_possible(keys: KeyStore, name: str) -> None:
    """Letters, digits, dots, hyphens and underscores."""
    assert await keys.find(await keys.create(name, READ)) is not None


async def test_a_key_needs_a_scope(keys: KeyStore) -> None:
    """A key without scopes would only confuse."""
    with pytest.raises(ApiKeyError, match="at least one"):
        await keys.create("phone", ())


async def test_the_number_of_keys_is_limited(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked names count, and can be used again."""
    monkeypatch.setattr(key_store, "MAX_KEYS", 2)
    await keys.create("a", READ)
    await keys.create("b", READ)
    await keys.revoke("b")

    with pytest.raises(ApiKeyError, match="2 keys"):
        await keys.create("c", READ)

    assert await keys.create("b", READ)


async def test_a_server_without_any_key_is_refused(keys: KeyStore) -> None:
    """Where a key is the only way in; the error has the ways out. Revoking the last key is no
    mistake."""
    with pytest.raises(ConfigError, match=r"keys create NAME.*auth = \[\"none\"\]"):
        await keys.require_any()
    await keys.create("phone", READ)

    await keys.require_any()
    await keys.revoke("phone")
    await keys.require_any()


# Revocation.


async def test_a_revoked_key_is_not_found(tmp_path: Path) -> None:
    """From the moment when `revoke` returns; and its sockets have been closed by then."""
    revoked: list[str] = []
    async with open_keys(tmp_path, revoked.append) as keys:
        key, other = await keys.create("phone", READ), await keys.create("other", READ)

        record = await keys.revoke("phone")

        assert record.revoked_at is not None
        assert revoked == ["phone"]
        assert await keys.find(key) is None
        assert await keys.find(other) is not None


async def test_an_unknown_name_cannot_be_revoked(keys: KeyStore) -> None:
    """The error names it."""
    with pytest.raises(ApiKeyError, match="phne"):
        await keys.revoke("phne")


async def test_a_revocation_can_be_repeated(tmp_path: Path) -> None:
    """The time stays that of the first, and the sockets are closed again."""
    clock, revoked = StandingClock(), list[str]()
    async with open_keys(tmp_path, revoked.append, clock=clock) as keys:
        await keys.create("phone", READ)

        first = await keys.revoke("phone")
        clock.advance(3_600)
        second = await keys.revoke("phone")

        assert first.revoked_at == second.revoked_at
        assert revoked == ["phone", "phone"]


async def test_sockets_that_were_being_opened_are_closed_later(tmp_path: Path) -> None:
    """A revocation is announced once more, for sockets whose key was checked just before it."""
    revoked: asyncio.Queue[str] = asyncio.Queue()
    async with open_keys(tmp_path, revoked.put_nowait, repeat_s=0.01) as keys:
        await keys.create("phone", READ)

        await keys.revoke("phone")

        async with asyncio.timeout(patient(5.0)):
            assert [await revoked.get(), await revoked.get()] == ["phone", "phone"]


async def test_the_sockets_of_a_new_key_stay_open(tmp_path: Path) -> None:
    """A name that has a key again is not announced once more."""
    revoked: list[str] = []
    async with open_keys(tmp_path, revoked.append, repeat_s=0.05) as keys:
        await keys.create("phone", READ)
        await keys.revoke("phone")
        await keys.create("phone", READ)
        await keys.create("other", READ)
        await keys.revoke("other")

        async with asyncio.timeout(patient(5.0)):
            while revoked.count("other") < 2:  # noqa: ASYNC110 - the later timer of two
                await asyncio.sleep(0.01)

    assert revoked.count("phone") == 1


async def test_a_revocation_is_finished_without_its_caller(tmp_path: Path) -> None:
    """If whoever waits for it is cancelled, the key is revoked all the same, here and on disk."""
    revoked = asyncio.Event()
    async with open_keys(tmp_path, lambda _name: revoked.set()) as keys:
        key = await keys.create("phone", READ)
        revoking = asyncio.create_task(keys.revoke("phone"))
        await asyncio.sleep(0)

        revoking.cancel()
        async with asyncio.timeout(patient(5.0)):
            await revoked.wait()

        assert revoking.cancelled()
        assert await keys.find(key) is None
        assert [record.revoked_at is None for record in await keys.records()] == [False]


async def test_a_failed_revocation_changes_nothing(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk refuses it, the caller gets the error, and the key is still valid."""
    key = await keys.create("phone", READ)

    async def fail(*_arguments: Any) -> None:
        raise StoreUnavailableError("no disk")

    monkeypatch.setattr(SQLiteDatabase, "write", fail)

    with pytest.raises(StoreUnavailableError):
        await keys.revoke("phone")

    assert await keys.find(key) is not None


# The last use.


async def until_writes(keys: KeyStore, count: int) -> None:
    """Wait until there were so many writes of last uses."""
    async with asyncio.timeout(patient(5.0)):
        while keys.uses.writes < count:  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0.001)


async def test_many_uses_are_one_write(tmp_path: Path) -> None:
    """The first use is written at once, and later ones not before the minute is over. The list
    knows them all the same."""
    clock = StandingClock()
    async with open_keys(tmp_path, clock=clock) as keys:
        key = await keys.create("phone", READ)
        assert [record.last_used_at for record in await keys.records()] == [None]
        clock.advance(1)
        await keys.find(key)
        await until_writes(keys, 1)

        clock.advance(10)
        for _ in range(1_000):
            await keys.find(key)
        await asyncio.sleep(0.01)

        assert keys.uses.writes == 1
        [record] = await keys.records()
        assert record.last_used_at == "2026-01-05T10:00:11.000Z"
    async with open_keys(tmp_path) as keys:
        [record] = await keys.records()
        assert record.last_used_at == "2026-01-05T10:00:11.000Z"


async def test_the_use_of_an_old_key_is_not_that_of_a_new_one(tmp_path: Path) -> None:
    """A new key of the same name was never used."""
    clock = StandingClock()
    async with open_keys(tmp_path, clock=clock) as keys:
        for seconds in (1, 1):
            key = await keys.create("phone", READ)
            clock.advance(seconds)
            await keys.find(key)
            clock.advance(seconds)
            await keys.revoke("phone")
        await keys.create("phone", READ)

        assert [record.last_used_at for record in await keys.records()] == [None]
    async with open_keys(tmp_path) as keys:
        assert [record.last_used_at for record in await keys.records()] == [None]


async def test_a_use_that_cannot_be_written_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lookup succeeds, and the use is written later."""
    async with open_keys(tmp_path) as keys:
        key = await keys.create("phone", READ)
        with monkeypatch.context() as patch, capture_logs() as lines:

            async def fail(*_arguments: Any) -> None:
                raise StoreUnavailableError("no disk")

            patch.setattr(SQLiteDatabase, "write", fail)

            found = await keys.find(key)

            async with asyncio.timeout(patient(5.0)):
                while not lines:  # noqa: ASYNC110 - a log line
                    await asyncio.sleep(0.001)
        assert found is not None
        assert lines[0]["event"] == "key.use_not_written"
    async with open_keys(tmp_path) as keys:
        [record] = await keys.records()
        assert record.last_used_at is not None


# What others wrote into the table.


@pytest.mark.parametrize("scopes", ["", "{", "[1]", '["fly"]', '"read"'])
async def test_a_key_with_damaged_scopes_allows_nothing(tmp_path: Path, scopes: str) -> None:
    """It can be listed and revoked."""
    async with open_keys(tmp_path) as keys:
        key = await keys.create("phone", READ)
    with sqlite3.connect(tmp_path / "tasks.sqlite3") as connection:
        connection.execute("UPDATE api_keys SET scopes = ?", (scopes,))
    connection.close()

    async with open_keys(tmp_path) as keys:
        assert await keys.find(key) == ApiKey(name="phone", scopes=frozenset())
        assert [record.scopes for record in await keys.records()] == [()]
        await keys.revoke("phone")
        assert await keys.find(key) is None


async def test_keys_of_another_process_are_unavailable(tmp_path: Path) -> None:
    """Before `start` and after `stop` nothing is found, and that is an error."""
    async with open_keys(tmp_path) as keys:
        key = await keys.create("phone", READ)

    with pytest.raises(StoreUnavailableError):
        await keys.find(key)
