"""The commands about API keys, as the control socket and the stopped server carry them out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Final

import msgspec

from phoenix_compat.bounded import escaped
from phoenix_compat.server.auth.keys.api_keys import OWNER_PREFIX, ApiKeyError
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.control.messages import Arguments, Handler

CREATE: Final = "keys.create"
LIST: Final = "keys.list"
REVOKE: Final = "keys.revoke"
ADOPT: Final = "keys.adopt"

MAX_OWNER_CHARS: Final = 200


class _Create(msgspec.Struct):
    name: str
    scopes: set[Scope]


class _Revoke(msgspec.Struct):
    name: str


class _Adopt(msgspec.Struct):
    owner: str


def key_commands(
    keys: KeyStore, adopt_tasks: Callable[[str], Awaitable[int]]
) -> Mapping[str, Handler]:
    """The handlers of the commands, by name.

    Args:
        adopt_tasks: see TaskStore.adopt.
    """

    async def create(arguments: Arguments) -> object:
        wanted = msgspec.convert(arguments, _Create)
        return {"key": await keys.create(wanted.name, wanted.scopes)}

    async def list_all(_arguments: Arguments) -> object:
        return [asdict(record) for record in await keys.records()]

    async def revoke(arguments: Arguments) -> object:
        return asdict(await keys.revoke(msgspec.convert(arguments, _Revoke).name))

    async def adopt(arguments: Arguments) -> object:
        owner = msgspec.convert(arguments, _Adopt).owner
        await _check_owner(owner, keys)
        # A client that goes away must not leave half of the tasks behind.
        return {"tasks": await asyncio.shield(adopt_tasks(owner))}

    return {CREATE: create, LIST: list_all, REVOKE: revoke, ADOPT: adopt}


async def _check_owner(owner: str, keys: KeyStore) -> None:
    """Refuse an owner that cannot be meant: what is adopted cannot be told apart afterwards."""
    if not 0 < len(owner) <= MAX_OWNER_CHARS or owner != escaped(owner) or owner != owner.strip():
        raise ApiKeyError(
            f"an owner has 1 to {MAX_OWNER_CHARS} characters, without control characters, and "
            "without spaces at its ends"
        )
    name = owner.removeprefix(OWNER_PREFIX)
    is_of_key = owner != name
    if is_of_key and not await keys.exists(name):
        raise ApiKeyError(f"there is no key named {name!r}; create it first")
    if not is_of_key and await keys.exists(name):
        raise ApiKeyError(
            f'{name} is the name of a key, and the owner of its tasks is "{OWNER_PREFIX}{name}"; '
            "give that"
        )
