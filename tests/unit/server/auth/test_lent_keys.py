"""Keys that are lent to commands."""

from __future__ import annotations

import pytest

from phoenix_compat.server.auth.authenticator import LentKeyVerifier
from phoenix_compat.server.auth.errors import UnauthorizedError
from phoenix_compat.server.auth.keys.api_keys import ApiKey, sha256_of
from phoenix_compat.server.auth.keys.lent_keys import LENT_S, MAX_LENT, LentKeys
from phoenix_compat.server.auth.principal import Scope
from tests.unit.server.auth.memory_keys import MemoryKeys


class Clock:
    """A time that moves when it is told to."""

    now_s = 100.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now_s


def test_a_key_expires() -> None:
    """It allows everything, belongs to nobody, and is not found after its time."""
    clock = Clock()
    keys = LentKeys(clock)
    sha256 = sha256_of(keys.lend())

    found = keys.find(sha256)
    clock.now_s += LENT_S

    assert found is not None
    assert (found.owner, found.scopes) == ("", frozenset(Scope))
    assert keys.find(sha256) is None


def test_their_number_is_bounded() -> None:
    """The oldest is dropped, and counted."""
    keys = LentKeys(Clock())
    hashes = [sha256_of(keys.lend()) for _ in range(MAX_LENT + 1)]

    assert keys.find(hashes[0]) is None
    assert all(keys.find(one) for one in hashes[1:])
    assert (keys.counts.lent, keys.counts.dropped) == (MAX_LENT + 1, 1)


async def test_only_lent_keys_pass_where_keys_are_not_accepted() -> None:
    """A stored key is refused with the same words as any other credential."""
    stored = ApiKey(name="phone", scopes=frozenset(Scope))
    lent = ApiKey(name="", scopes=frozenset(Scope))
    verifier = LentKeyVerifier(MemoryKeys({"pck_stored": stored, "pck_lent": lent}))

    principal = await verifier.verify("pck_lent")
    with pytest.raises(UnauthorizedError, match="does not accept API keys"):
        await verifier.verify("pck_stored")

    assert (principal.owner, principal.scopes) == ("", frozenset(Scope))
