"""The command with which other commands get access to the HTTP API of the running server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from phoenix_compat.server.auth.keys.api_keys import sha256_of
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.control.messages import Arguments, Handler

LEND: Final = "access.lend"


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the API.

    Attributes:
        key: a key that allows everything, for some minutes.
        url: where the server listens, "http://…" or "unix:" and a path; None if it is not known.
    """

    key: str
    url: str | None = None


async def _nobody(_sha256: str) -> None:
    """This is the only process that a command may reach."""


def access_commands(
    keys: KeyStore,
    own_url: Callable[[], str | None],
    share: Callable[[str], Awaitable[None]] = _nobody,
) -> Mapping[str, Handler]:
    """The handlers of the commands, by name.

    Args:
        own_url: where this server listens.
        share: lets a key that was lent work in the other processes that listen there, by its
            SHA-256.
    """

    async def lend(_arguments: Arguments) -> object:
        key = keys.lent.lend()
        await share(sha256_of(key))
        return Access(key=key, url=own_url())

    return {LEND: lend}
