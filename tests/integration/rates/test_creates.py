"""Too many tasks in a short time: 429 for one client address, and everything else goes on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from phoenix_compat.conformance.suite.wire_client import build_request
from phoenix_compat.server.rates.rate_limiter import RateLimiter
from tests.integration.rates.rates_harness import ALICE, BOB, MONK, limited, via_proxy
from tests.integration.task_server import Client, product
from tests.wire import PatientClient


async def create(client: Client, address: str, path: str = "/api/tasks") -> int:
    """The status of a POST by this client."""
    status, _ = await client.request("POST", path, json=MONK, headers=via_proxy(address))
    return status


async def test_one_address_creates_only_so_many_tasks(tmp_path: Path) -> None:
    """The third is 429, and stores nothing; another address creates its own."""
    async with product(limited(tmp_path, address_creates_per_minute=2)) as client:
        statuses = [await create(client, ALICE) for _ in range(3)]
        other = await create(client, BOB)
        _, listed = await client.request("GET", "/api/tasks", headers=via_proxy(ALICE))
        _, health = await client.request("GET", "/healthz")

    assert (statuses, other) == ([202, 202, 429], 202)
    assert len(listed["tasks"]) == 3
    assert health["rate_limited"]["address_creates"] == 1


async def test_the_refusal_says_what_to_do(tmp_path: Path) -> None:
    """It is a problem document with the limit, and Retry-After."""
    async with product(limited(tmp_path, address_creates_per_minute=2)) as client:
        for _ in range(2):
            await create(client, ALICE)
        wire = await PatientClient.connect(client.url)
        headers = [("Content-Type", "application/json"), ("X-Forwarded-For", ALICE)]
        answer = await wire.request("POST", "/api/tasks", headers, json.dumps(MONK).encode())
        await wire.close()

    assert answer.status == 429
    assert answer.header("content-type") == "application/problem+json; charset=utf-8"
    assert answer.header("retry-after") == "30"
    assert json.loads(answer.body) == {
        "type": "urn:phoenix-compat:problem:too-many-requests",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Too many tasks from this address: at most 2 a minute. Try again in 30 s.",
    }


async def test_a_refused_body_is_not_waited_for(tmp_path: Path) -> None:
    """The 429 comes as soon as the head is there."""
    async with product(limited(tmp_path, address_creates_per_minute=1)) as client:
        await create(client, ALICE)
        wire = await PatientClient.connect(client.url)
        head = [("Host", wire.host), ("X-Forwarded-For", ALICE), ("Content-Length", "200000")]
        await wire.send_bytes(build_request("POST", "/api/tasks", head))
        answer = await wire.read_response(method="POST")
        await wire.close()

    assert answer.status == 429


async def test_retries_count_and_cancels_do_not(tmp_path: Path) -> None:
    """A retry starts a task too; a cancel ends one."""
    async with product(limited(tmp_path, address_creates_per_minute=3)) as client:
        statuses = [
            await create(client, ALICE, "/api/tasks/nope/cancel"),
            await create(client, ALICE, "/api/tasks/nope/retry"),
            await create(client, ALICE, "/api/tasks/%6Eope/retry"),
            await create(client, ALICE, "/api/tasks/nope/retry"),
            await create(client, ALICE, "/api/tasks/nope/retry"),
            await create(client, ALICE),
            await create(client, ALICE, "/api/tasks/nope/cancel"),
        ]

    assert statuses == [404, 404, 404, 404, 429, 429, 404]


async def test_forged_addresses_do_not_help(tmp_path: Path) -> None:
    """What a client writes into the headers stands left of what the proxy adds."""
    async with product(limited(tmp_path, address_creates_per_minute=2)) as client:
        statuses = [await create(client, f"198.51.100.{number}, {ALICE}") for number in range(3)]
        alice = await create(client, ALICE)

    assert (statuses, alice) == ([202, 202, 429], 429)


async def test_forged_headers_without_a_proxy_limit_nobody_else(tmp_path: Path) -> None:
    """By default nobody is believed: a program on this machine cannot use up another's tokens."""
    settings = limited(tmp_path, trusted_proxies=(), address_creates_per_minute=1)
    async with product(settings) as client:
        statuses = [await create(client, ALICE) for _ in range(3)]

    assert statuses == [202, 202, 202]


async def test_address_and_owner_are_both_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address where the request arrives, and the owner where he is known: here "", nobody."""
    asked: list[tuple[str, str | None]] = []
    monkeypatch.setattr(
        RateLimiter, "take_create", lambda _self, owner, address: asked.append((owner, address))
    )
    async with product(limited(tmp_path)) as client:
        await create(client, ALICE)

    assert asked == [("", ALICE), ("", None)]


async def test_after_retry_after_it_passes(tmp_path: Path) -> None:
    """With one a second, the wait is one second, and then one passes again."""
    async with product(limited(tmp_path, address_creates_per_minute=60)) as client:
        refused = None
        while refused is None:
            async with client._http.post(
                f"{client.url}/api/tasks/nope/retry", headers=via_proxy(ALICE)
            ) as answer:
                refused = answer.headers.get("Retry-After")
        # The rate is a rate of real time, so this is what a client does.
        await asyncio.sleep(int(refused))
        status = await create(client, ALICE, "/api/tasks/nope/retry")

    assert (refused, status) == ("1", 404)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/api/tasks", "/api/tasks/nope"])
async def test_reading_is_not_limited(tmp_path: Path, path: str) -> None:
    """A client that used up its creates still reads."""
    async with product(limited(tmp_path, address_creates_per_minute=1)) as client:
        for _ in range(2):
            await create(client, ALICE)
        async with client._http.get(client.url + path, headers=via_proxy(ALICE)) as answer:
            status = answer.status

    assert status in {200, 404}
