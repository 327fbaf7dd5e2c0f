"""Who may read what the server measures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from phoenix_compat.server.auth.principal import TASK_SCOPES, Scope
from tests.integration.ownership.credentials import by_key, store_keys
from tests.integration.task_server import product, settings_for

PATHS: Final = ("/metrics", "/api/status")
SCOPES: Final = {
    "prometheus": frozenset({Scope.READ_METRICS}),
    "operator": frozenset({Scope.OPERATE}),
    "publisher": frozenset({Scope.PUBLISH, Scope.IMPERSONATE}),
}
"""Keys by name."""


async def statuses(url: str, headers: dict[str, str]) -> list[tuple[int, str]]:
    """The status and the word of the problem of each path."""
    found = []
    async with aiohttp.ClientSession(headers=headers) as http:
        for path in PATHS:
            async with http.get(url + path) as answer:
                is_problem = answer.content_type == "application/problem+json"
                body = json.loads(await answer.text()) if is_problem else {}
                found.append((answer.status, str(body.get("type", "")).rpartition(":")[2]))
    return found


async def test_a_key_needs_one_of_two_scopes(tmp_path: Path) -> None:
    """`read_metrics` or `operate`; without a credential the answer is 401."""
    settings = settings_for(tmp_path, auth=("keys",))
    await store_keys(settings.database_path, "app", more=SCOPES)
    async with product(settings) as client:
        seen = {
            name: await statuses(client.url, by_key(f"key:{name}", scopes).headers)
            for name, scopes in {**SCOPES, "app": TASK_SCOPES}.items()
        }
        without = await statuses(client.url, {})
        wrong = await statuses(client.url, {"Authorization": "Bearer pck_unknown"})

    assert seen["prometheus"] == seen["operator"] == [(200, ""), (200, "")]
    assert seen["publisher"] == seen["app"] == [(403, "forbidden")] * 2
    assert without == wrong == [(401, "unauthorized")] * 2


async def test_a_server_that_everyone_may_use_shows_them_to_nobody(tmp_path: Path) -> None:
    """With `insecure_no_auth` they need a key, as everything that is not a task."""
    async with product(settings_for(tmp_path, insecure_no_auth=True)) as client:
        found = await statuses(client.url, {})

    assert found == [(403, "forbidden")] * 2


async def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the status is there, and /metrics says what to install."""
    monkeypatch.delitem(sys.modules, "phoenix_compat.server.metrics.exposition", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    async with product(settings_for(tmp_path)) as client:
        found = await statuses(client.url, {})

    assert found == [(503, "metrics-unavailable"), (200, "")]
