"""Stores API keys in the task database, and looks them up in the process that has it open.

All keys that are not revoked are in memory, and every change goes through this object. So a lookup
is exact, takes no disk access, and costs the same for keys that do not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
import structlog

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.auth.keys.api_keys import (
    ApiKey,
    ApiKeyError,
    KeyNameTakenError,
    checked_name,
    is_key,
    new_key,
    sha256_of,
)
from phoenix_compat.server.auth.keys.key_uses import KeyUses
from phoenix_compat.server.auth.keys.lent_keys import LentKeys
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.tasks.model.clock import Clock, SystemClock, stored_time
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.database import Row, Transaction, Work
from phoenix_compat.tasks.store.statements import key_queries as queries
from phoenix_compat.tasks.store.statements.key_queries import MAX_KEYS
from phoenix_compat.tasks.store.store import Store

REPEAT_S: Final = 10.0
"""A revocation is announced again after this time, for sockets that were being opened before."""

T = TypeVar("T")

log = structlog.stdlib.get_logger(__name__)

_scopes_decoder: Final = msgspec.json.Decoder(list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is known about a key; times are those of the store.

    Attributes:
        revoked_at: None while it is valid.
    """

    name: str
    scopes: tuple[str, ...]
    created_at: str
    last_used_at: str | None
    revoked_at: str | None


class KeyStore:
    """The API keys; `start` reads them once the store has opened its database.

    Args:
        store: any store with the database.
        when_revoked: called with the name of each key that is revoked; it closes the sockets.
        repeat_s: see REPEAT_S.

    Attributes:
        uses: when keys were used.
        lent: further keys, for commands on this machine.
    """

    def __init__(
        self,
        store: Store,
        when_revoked: Callable[[str], None] = lambda _name: None,
        *,
        clock: Clock | None = None,
        repeat_s: float = REPEAT_S,
    ) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._repeat_s = repeat_s
        self.uses = KeyUses(store, self._clock)
        self.lent = LentKeys()
        self._live: dict[str, ApiKey] = {}  # by SHA-256
        self._hashes: dict[str, str] = {}  # by name
        self._is_open = False
        self._changing = asyncio.Lock()
        self._when_revoked = when_revoked
        self._when_created: Callable[[str], None] = lambda _name: None
        self._repeats: dict[str, asyncio.TimerHandle] = {}

    async def start(self) -> None:
        """Read the keys, and begin to record when they are used.

        Raises:
            StoreUnavailableError: they cannot be read.
        """
        rows = await self._store.database.read(queries.LIVE_KEYS)
        for row in rows:
            self._add(row["sha256"], ApiKey(name=row["name"], scopes=_scopes_of(row)))
        self._is_open = True
        self.uses.start()

    async def stop(self) -> None:
        """Write what is left to write; no key is found any more."""
        self._is_open = False
        for repeat in self._repeats.values():
            repeat.cancel()
        self._repeats.clear()
        await self.uses.stop()

    @property
    def is_open(self) -> bool:
        """Whether this process has the keys."""
        return self._is_open

    def when_revoked(self, call: Callable[[str], None]) -> None:
        """Set what is called instead, where several processes have sockets."""
        self._when_revoked = call

    def when_changed(self, call: Callable[[str], None]) -> None:
        """Set what is called with the name of each key that is revoked or created here."""
        self._when_revoked = self._when_created = call

    async def read_again(self) -> frozenset[str]:
        """Read the keys again, where other nodes change them too.

        Returns:
            The names of keys that have been replaced: revoked, and created again with this name.

        Raises:
            StoreUnavailableError: they cannot be read; nothing has changed.
        """
        async with self._changing:
            rows = await self._store.database.read(queries.LIVE_KEYS)
            before, self._live, self._hashes = self._hashes, {}, {}
            for row in rows:
                self._add(row["sha256"], ApiKey(name=row["name"], scopes=_scopes_of(row)))
        return frozenset(
            name for name, sha256 in before.items() if self._hashes.get(name, sha256) != sha256
        )

    # Lookups.

    async def find(self, key: str) -> ApiKey | None:
        """See ApiKeys."""
        if not self._is_open:
            raise StoreUnavailableError("another process has the API keys")
        return self.find_hash(sha256_of(key)) if is_key(key) else None

    def find_hash(self, sha256: str) -> ApiKey | None:
        """The same by the key's SHA-256, at once; the key counts as used now."""
        found = self._live.get(sha256)
        if found is None:
            return self.lent.find(sha256)
        self.uses.record(found.name)
        return found

    def is_live(self, name: str) -> bool:
        """Whether there is a key with this name that is not revoked."""
        return name in self._hashes

    async def require_any(self) -> None:
        """Refuse to serve if there never was a key, where a key is the only way in.

        An upgrade creates no key, so without this its clients would get 401s for no visible reason.

        Raises:
            ConfigError: there is none; the text has the ways out.
            StoreUnavailableError: they cannot be read.
        """
        ((count,),) = await self._store.database.read(queries.COUNT_KEYS)
        if not count:
            raise ConfigError(
                "auth: there is no API key, so nobody could use this server; create one with "
                "`phoenix-compat keys create NAME`, or turn authentication off with "
                'auth = ["none"]'
            )

    async def exists(self, name: str) -> bool:
        """Whether there is a key with this name, possibly a revoked one.

        Raises:
            StoreUnavailableError: it cannot be read.
        """
        return self.is_live(name) or bool(
            await self._store.database.read(queries.FIND_KEY, (name,))
        )

    async def records(self) -> list[KeyRecord]:
        """All keys, revoked ones included, by name.

        Raises:
            StoreUnavailableError: they cannot be read.
        """
        return [self._record(row) for row in await self._store.database.read(queries.LIST_KEYS)]

    # Changes.

    async def create(self, name: str, scopes: Collection[Scope], key: str | None = None) -> str:
        """Create a key. A name whose key was revoked gets a new key, for the same owner.

        Args:
            key: the key, if it is not to be a new random one.

        Returns:
            The key; it is not stored, and cannot be shown again.

        Raises:
            KeyNameTakenError: there is a key with this name.
            ApiKeyError: the name cannot be used, there are no scopes, or there are too many keys.
            StoreUnavailableError: nothing was written.
        """
        checked_name(name)
        if not scopes:
            raise ApiKeyError("a key without scopes is useless; give it at least one")
        key = key or new_key()
        names = _in_order(scopes)
        values = {
            "name": name,
            "sha256": sha256_of(key),
            "scopes": msgspec.json.encode(names).decode(),
            "now": stored_time(self._clock.now()),
        }

        async def work(transaction: Transaction) -> None:
            found = await transaction.rows(queries.FIND_KEY, (name,))
            if found and found[0]["revoked_at"] is None:
                raise KeyNameTakenError(
                    f"there is a key named {name} already; choose another name, or revoke it first"
                )
            ((count,),) = await transaction.rows(queries.COUNT_KEYS)
            if not found and count >= MAX_KEYS:
                raise ApiKeyError(
                    f"there are {MAX_KEYS} keys already, revoked ones included; use the name of a "
                    "revoked key"
                )
            await transaction.execute(queries.ADD_API_KEY, values)

        def done(_result: None) -> None:
            self._add(values["sha256"], ApiKey(name=name, scopes=frozenset(scopes)))
            self._cancel_repeat(name)
            self._when_created(name)
            log.info("key.created", name=name, scopes=names)

        await self._change(work, done)
        return key

    async def revoke(self, name: str) -> KeyRecord:
        """Revoke a key: it is not found any more, and its sockets are closed.

        A key that was revoked before stays as it is, but its sockets are closed again: the process
        that revoked it may have been killed before it closed them.

        Raises:
            ApiKeyError: there is no key with this name.
            StoreUnavailableError: nothing was written.
        """
        now = stored_time(self._clock.now())

        async def work(transaction: Transaction) -> tuple[bool, Row]:
            changed = await transaction.execute(queries.REVOKE_KEY, (now, name)) == 1
            found = await transaction.rows(queries.FIND_KEY, (name,))
            if not found:
                raise ApiKeyError(f"there is no key named {name!r}; `keys list` shows all names")
            return changed, found[0]

        def done(result: tuple[bool, Row]) -> None:
            sha256 = self._hashes.pop(name, None)
            if sha256 is not None:
                del self._live[sha256]
            if result[0]:
                log.info("key.revoked", name=name)
            self._when_revoked(name)
            self._repeat_later(name)

        _, row = await self._change(work, done)
        return self._record(row)

    async def _change(self, work: Work[T], done: Callable[[T], None]) -> T:
        """Write, then bring the memory up to date, even if the caller is cancelled in between."""

        async def change() -> T:
            async with self._changing:
                result = await self._store.database.write(work)
                done(result)
            return result

        return await asyncio.shield(change())

    def _add(self, sha256: str, key: ApiKey) -> None:
        self._live[sha256] = key
        self._hashes[key.name] = sha256

    def _record(self, row: Row) -> KeyRecord:
        used_at = self.uses.waiting(row["name"])
        if used_at is None or used_at < row["created_at"]:
            used_at = row["last_used_at"]
        return KeyRecord(
            name=row["name"],
            scopes=tuple(_in_order(_scopes_of(row))),
            created_at=row["created_at"],
            last_used_at=used_at,
            revoked_at=row["revoked_at"],
        )

    # Announcing a revocation again.

    def _repeat_later(self, name: str) -> None:
        self._cancel_repeat(name)
        loop = asyncio.get_running_loop()
        self._repeats[name] = loop.call_later(self._repeat_s, self._repeat, name)

    def _repeat(self, name: str) -> None:
        del self._repeats[name]
        self._when_revoked(name)

    def _cancel_repeat(self, name: str) -> None:
        """A new key has the name: its sockets stay open."""
        repeat = self._repeats.pop(name, None)
        if repeat is not None:
            repeat.cancel()


def _scopes_of(row: Any) -> frozenset[Scope]:
    """The scopes in a row; those of a newer version are left out, as they allow nothing here."""
    try:
        names = _scopes_decoder.decode(row["scopes"])
    except msgspec.DecodeError:
        log.warning("key.unreadable", name=row["name"])
        return frozenset()
    return frozenset(scope for scope in Scope if scope.value in names)


def _in_order(scopes: Collection[Scope]) -> list[str]:
    return [scope.value for scope in Scope if scope in scopes]
