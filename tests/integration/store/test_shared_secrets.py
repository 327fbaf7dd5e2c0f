"""Secrets that the nodes share are made once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from phoenix_compat.redaction import FILTERED, live_secrets
from phoenix_compat.server.nodes.shared_secrets import shared_secret
from tests.integration.keys.key_harness import open_store


async def test_all_nodes_have_the_same_secret(tmp_path: Path) -> None:
    """Also those that ask at the same time; logs do not show it."""
    async with open_store(tmp_path) as store:
        secrets = await asyncio.gather(*(shared_secret(store, "one") for _ in range(5)))
        other = await shared_secret(store, "another")

    assert len(set(secrets)) == 1
    assert len(secrets[0]) == 64
    assert other != secrets[0]
    assert live_secrets.redacted(f"secret {secrets[0]}") == f"secret {FILTERED}"
