"""API keys and limits in the console."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.server.auth.keys.api_keys import is_key
from tests.integration.console.console_harness import OPERATOR, READER, console_of


async def test_a_key_is_created_used_and_revoked(tmp_path: Path) -> None:
    """It is shown once, works at once, is listed with its last use, and ends when revoked."""
    async with console_of(tmp_path, auth=("keys",)) as console:
        wanted = {"name": "web", "scopes": ["create", "read"]}
        status, made = await console.ask("POST", "/api/console/keys", OPERATOR, json=wanted)
        assert status == 201
        assert is_key(made["key"])
        assert (await console.ask("GET", "/api/tasks", made["key"]))[0] == 200

        again, problem = await console.ask("POST", "/api/console/keys", OPERATOR, json=wanted)
        assert (again, problem["detail"][:31]) == (422, "There is a key named web alread")

        status, listed = await console.ask("GET", "/api/console/keys", OPERATOR)
        assert (status, listed["auth"]) == (200, ["keys"])
        (web,) = [each for each in listed["keys"] if each["name"] == "web"]
        assert (web["scopes"], web["revoked_at"]) == (["create", "read"], None)
        assert web["last_used_at"] is not None
        assert made["key"] not in str(listed)

        status, revoked = await console.ask(
            "POST", "/api/console/keys/revoke", OPERATOR, json={"name": "web"}
        )
        assert (status, revoked["name"]) == (200, "web")
        assert (await console.ask("GET", "/api/tasks", made["key"]))[0] == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("keys", {"name": "web"}),
        ("keys", {"name": "web", "scopes": ["everything"]}),
        ("keys", {"name": "web", "scopes": []}),
        ("keys", {"name": "../etc", "scopes": ["read"]}),
        ("keys", {"name": "web", "scopes": ["read"], "key": "pck_mine"}),
        ("keys/revoke", {"name": "nobody"}),
        ("keys/revoke", []),
    ],
)
async def test_bodies_are_checked(tmp_path: Path, path: str, body: Any) -> None:
    """What cannot be meant is 422, with words for people."""
    async with console_of(tmp_path) as console:
        status, problem = await console.ask("POST", f"/api/console/{path}", json=body)

    assert status == 422
    assert problem["detail"].endswith(".")


async def test_what_was_ordered_stands_beside_the_limits(tmp_path: Path) -> None:
    """For all, and for each owner; an owner is found by a part of the name."""
    limits: dict[str, Any] = {"total_usd_per_day": 20.0, "owner_tasks_per_day": 5}
    async with console_of(tmp_path, auth=("keys",), **limits) as console:
        task = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
        assert (await console.ask("POST", "/api/tasks", READER, json=task))[0] == 202

        status, view = await console.ask("GET", "/api/console/limits", OPERATOR)
        _, found = await console.ask("GET", "/api/console/limits?text=read", OPERATOR)
        _, nobody = await console.ask("GET", "/api/console/limits?text=zzz", OPERATOR)

    assert status == 200
    assert view["total_day"]["tasks"] == view["total_month"]["tasks"] == 1
    assert (view["total_day"]["max_usd"], view["total_day"]["max_tasks"]) == (20.0, None)
    (reader,) = view["owners"]
    assert reader["owner"] == "key:reader"
    assert (reader["day"]["tasks"], reader["day"]["max_tasks"]) == (1, 5)
    assert 0.0 < reader["day"]["usd"] == view["total_day"]["usd"]
    assert found["owners"] == view["owners"]
    assert nobody["owners"] == []
