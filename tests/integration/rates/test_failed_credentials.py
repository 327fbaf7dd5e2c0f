"""Guessing: a client address may send only so many invalid credentials, at all four doors."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.conformance.suite.wire_client import HttpResponse
from tests.integration.auth.auth_harness import (
    KEY,
    bearer,
    create,
    join,
    phoenix_token,
    server,
    target,
)
from tests.integration.multiprocess.multiprocess_harness import multiprocess_server
from tests.integration.rates.rates_harness import ALICE, BOB, LONGPOLL, WEBSOCKET, knock, via_proxy
from tests.unit.server.auth.jwt_builder import token
from tests.wire import PhoenixWire

LIMITS: Final[dict[str, Any]] = {
    "trusted_proxies": ("127.0.0.1",),
    "address_failed_credentials_per_minute": 2,
}
BAD: Final = ("pck_unknown", "no-token-at-all", "SFMyNTY.g2gD.x")
Door = Callable[[str, str, str | None], Awaitable[HttpResponse]]


async def by_http(url: str, address: str, credential: str | None) -> HttpResponse:
    """An order."""
    headers = [] if credential is None else [bearer(credential)]
    return await create(url, *headers, *via_proxy(address).items())


async def by_websocket(url: str, address: str, credential: str | None) -> HttpResponse:
    """A handshake."""
    return await knock(
        url, address, WEBSOCKET + ("" if credential is None else f"&token={credential}")
    )


async def by_long_poll(url: str, address: str, credential: str | None) -> HttpResponse:
    """A new session."""
    path = LONGPOLL + ("" if credential is None else f"&token={credential}")
    return await exchange(url, "GET", path, list(via_proxy(address).items()))


def outcome(answer: HttpResponse) -> int:
    """The status; of long-polling that in the body, as phoenix.js reads it."""
    if answer.status == 200:
        return int(json.loads(answer.body)["status"])
    return answer.status


@pytest.mark.parametrize(
    ("door", "refused", "accepted"),
    [(by_http, 401, 202), (by_websocket, 403, 101), (by_long_poll, 403, 410)],
)
async def test_guesses_are_limited(tmp_path: Path, door: Door, refused: int, accepted: int) -> None:
    """The third is 429 with Retry-After, unread. A client elsewhere is not affected, and clients
    without credential are refused as ever, which counts as no guess."""
    async with server(tmp_path, **LIMITS) as url:
        absent = [outcome(await door(url, ALICE, None)) for _ in range(5)]
        guesses = [await door(url, ALICE, bad) for bad in BAD]
        absent += [outcome(await door(url, ALICE, None))]
        good = outcome(await door(url, BOB, KEY))
        health = json.loads((await exchange(url, "GET", "/healthz")).body)

    assert absent == [refused] * 6
    assert [outcome(answer) for answer in guesses] == [refused, refused, 429]
    assert guesses[2].header("retry-after") == "30"
    assert good == accepted
    assert health["rate_limited"]["address_failed_credentials"] == 1


async def test_the_doors_share_the_limit(tmp_path: Path) -> None:
    """Who guesses at one may not go on at another; also different credentials, and what cannot be
    one, are guesses. Good credentials take nothing from the limit."""
    async with server(tmp_path, **LIMITS) as url:
        for good in (KEY, token(), phoenix_token()) * 2:
            assert (await by_http(url, ALICE, good)).status == 202
            assert (await by_websocket(url, ALICE, good)).status == 101
        first = await by_websocket(url, ALICE, "%07")
        second = await knock(url, ALICE, f"{WEBSOCKET}&token={KEY}&token[a]=b")
        third = [await door(url, ALICE, BAD[0]) for door in (by_http, by_websocket, by_long_poll)]

    assert (first.status, second.status) == (403, 403)
    assert [answer.status for answer in third] == [429] * 3


async def test_guesses_in_joins_are_limited(tmp_path: Path) -> None:
    """The third is answered with the reason after which apps stay, whichever socket sends it. A
    client elsewhere joins; joins without credential are no guesses."""
    async with server(tmp_path, **LIMITS, auth_at_join=True) as url:
        from_alice, from_bob = list(via_proxy(ALICE).items()), list(via_proxy(BOB).items())
        wires = [await PhoenixWire.open(url, target(), from_alice) for _ in range(3)]
        absent = [await join(wires[0], "x", f"a{number}") for number in range(5)]
        guesses = [await join(wire, "x", token=bad) for wire, bad in zip(wires, BAD, strict=True)]
        other = await PhoenixWire.open(url, target(), from_bob)
        good = await join(other, "x", token=KEY)
        for wire in (*wires, other):
            await wire.close()

    assert {answer["response"]["reason"] for answer in absent} == {"unauthorized"}
    reasons = [answer["response"]["reason"] for answer in guesses]
    assert reasons == ["unauthorized", "unauthorized", "unavailable"]
    assert "Try again in 30 s" in guesses[2]["response"]["detail"]
    assert good["response"] == {"reason": "not found"}


async def test_each_process_has_its_share(tmp_path: Path) -> None:
    """Two processes with half of the rate each, also for guesses that the other one has to check
    because it has the keys."""
    async with multiprocess_server(
        *("-m", "phoenix_compat", "serve", "--port", "0", "--create-first-key"),
        *("--data-dir", str(tmp_path)),
        PHOENIX_COMPAT_AUTH='["keys"]',
        PHOENIX_COMPAT_TRUSTED_PROXIES='["127.0.0.1", "unix"]',
        PHOENIX_COMPAT_ADDRESS_FAILED_CREDENTIALS_PER_MINUTE="4",
    ) as processes:
        key = (tmp_path / "first-key").read_text().strip()

        async def status(node: int, address: str, credential: str) -> int:
            headers = {"X_Forwarded_For": address, "Authorization": f"Bearer {credential}"}
            return (await processes.request(node, "GET", "/api/tasks", **headers))[0]

        guesses = {
            node: [await status(node, ALICE, "pck_" + f"{number}" * 43) for number in range(3)]
            for node in (0, 1)
        }
        good = [await status(node, BOB, key) for node in (0, 1)]

    assert guesses == {node: [401, 401, 429] for node in (0, 1)}
    assert good == [200, 200]
