"""Too many sockets and joins in a short time, over both transports."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.conformance.suite.wire_client import HttpResponse
from tests.integration.rates.rates_harness import (
    ALICE,
    BOB,
    LONGPOLL,
    WEBSOCKET,
    knock,
    limited,
    via_proxy,
)
from tests.integration.task_server import product
from tests.wire import OK, PhoenixWire

FLEET = 300
NDJSON = ("Content-Type", "application/x-ndjson")


def from_client(address: str) -> list[tuple[str, str]]:
    return list(via_proxy(address).items())


def status_of(answer: HttpResponse) -> int:
    """The status in the body of long-polling."""
    return int(json.loads(answer.body)["status"])


async def test_one_address_opens_only_so_many_websockets(tmp_path: Path) -> None:
    """The third handshake is 429 with Retry-After; those that are open stay, others come in."""
    async with product(limited(tmp_path, address_connects_per_minute=2)) as client:
        wire = await PhoenixWire.open(client.url, WEBSOCKET, from_client(ALICE))
        answers = [await knock(client.url, ALICE) for _ in range(2)]
        other = await knock(client.url, BOB)
        await wire.fence()
        await wire.client.close()

    assert [answer.status for answer in answers] == [101, 429]
    assert other.status == 101
    assert answers[1].header("retry-after") == "30"
    assert answers[1].body == (
        b"Too many connections from this address: at most 2 a minute. Try again in 30 s.\n"
    )


async def test_one_address_opens_only_so_many_long_poll_sessions(tmp_path: Path) -> None:
    """The refusal is 429 for HTTP, and for phoenix.js the 403 that it knows; polls do not count."""
    beat = json.dumps([None, "1", "phoenix", "heartbeat", {}]).encode()

    async with product(limited(tmp_path, address_connects_per_minute=2)) as client:

        async def poll(address: str, token: str = "", body: bytes = b"") -> HttpResponse:
            headers = [NDJSON, *from_client(address)]
            method = "POST" if body else "GET"
            target = f"{LONGPOLL}&token={token}"
            return await exchange(client.url, method, target, headers=headers, body=body)

        opened = status_of(first := await poll(ALICE))
        token = json.loads(first.body)["token"]
        used = []
        for _ in range(3):
            used += [
                status_of(await poll(ALICE, token, beat)),
                status_of(await poll(ALICE, token)),
            ]
        second = status_of(await poll(ALICE, "forged"))
        third = await poll(ALICE)
        other = status_of(await poll(BOB))

    assert used == [200, 200] * 3
    assert (opened, second, other) == (410, 410, 410)
    assert (third.status, json.loads(third.body)) == (429, {"status": 403})
    assert third.header("retry-after") == "30"
    assert third.header("access-control-allow-origin") == "*"


async def test_one_address_joins_only_so_many_channels(tmp_path: Path) -> None:
    """The third join is refused with a reason, and the client may go on with the others."""
    async with product(limited(tmp_path, address_joins_per_minute=2)) as client:
        task_id = await client.post()
        wire = await PhoenixWire.open(client.url, WEBSOCKET, from_client(ALICE))
        replies = [
            await wire.ask([str(number), str(number), f"task:nope-{number}", "phx_join", {}])
            for number in range(3)
        ]
        await wire.fence()
        other = await PhoenixWire.open(client.url, WEBSOCKET, from_client(BOB))
        await other.join(f"task:{task_id}")
        for one in (wire, other):
            await one.client.close()

    detail = "Too many joins from this address: at most 2 a minute. Try again in 30 s."
    assert [reply[4]["response"] for reply in replies] == [
        {"reason": "not found"},
        {"reason": "not found"},
        {"reason": "unavailable", "detail": detail},
    ]
    assert [reply[4]["status"] for reply in replies] == ["error"] * 3


async def test_joins_over_long_polling_count_too(tmp_path: Path) -> None:
    """The session remembers the address that opened it, whatever later polls say."""
    async with product(limited(tmp_path, address_joins_per_minute=1)) as client:
        opened = await exchange(client.url, "GET", LONGPOLL, headers=from_client(ALICE))
        token = json.loads(opened.body)["token"]
        target = f"{LONGPOLL}&token={token}"
        for number in range(2):
            join = json.dumps([str(number), str(number), f"task:nope-{number}", "phx_join", {}])
            await exchange(
                client.url,
                "POST",
                target,
                headers=[NDJSON, *from_client(f"198.51.100.{number}")],
                body=join.encode(),
            )
        polled = await exchange(client.url, "GET", target, headers=from_client(BOB))

    replies = [json.loads(message) for message in json.loads(polled.body)["messages"]]
    assert [reply[4]["response"]["reason"] for reply in replies] == [*("not found", "unavailable")]


async def test_local_programs_are_not_counted(tmp_path: Path) -> None:
    """Without a proxy, clients on this machine connect and join as fast as they can."""
    settings = limited(
        tmp_path, trusted_proxies=(), address_connects_per_minute=1, address_joins_per_minute=1
    )
    async with product(settings) as client:
        for _ in range(3):
            wire = await PhoenixWire.open(client.url)
            for number in range(3):
                reply = await wire.ask(["1", "1", f"task:nope-{number}", "phx_join", {}])
                assert reply[4]["response"] == {"reason": "not found"}
            await wire.client.close()


async def test_a_fleet_that_comes_back_passes_with_the_defaults(tmp_path: Path) -> None:
    """Hundreds of clients behind one proxy, each with its own address, connect and join at once."""
    async with product(limited(tmp_path)) as client:
        task_id = await client.post()

        async def come_back(number: int) -> Any:
            address = f"198.51.{100 + number // 200}.{number % 200}"
            wire = await PhoenixWire.open(client.url, WEBSOCKET, from_client(address))
            reply = await wire.ask(["1", "1", f"task:{task_id}", "phx_join", {}])
            await wire.client.close()
            return reply[4]

        replies = await asyncio.gather(*map(come_back, range(FLEET)))
        _, health = await client.request("GET", "/healthz")

    assert replies == [OK] * FLEET
    assert set(health["rate_limited"].values()) == {0}
