"""Clients that take their time, to send or to read."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Final

from phoenix_compat.accept.request_deadlines import HttpBounds
from phoenix_compat.conformance.suite.wire_client import Opcode, encode_frame
from phoenix_compat.server.main import WEBSOCKET
from tests.attack.registry import Finding, attack
from tests.attack.target import Target
from tests.integration.hardening.slow_client import Ended, dripped

CROWD: Final = 2_000
_AT_ONCE: Final = 50
_DROPS_PER_BOUND: Final = 5
_DEAF: Final = 20

_UPGRADE: Final = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def _begins(target: Target) -> Mapping[str, tuple[bytes, Iterable[bytes]]]:
    """What each kind of client sends first, and what it sends then, bit by bit."""
    host = target.host_header
    credentials = (
        b""
        if target.authorization is None
        else f"Authorization: {target.authorization}\r\n".encode()
    )
    half = b"GET / HTTP/1.1\r\n" + host
    post = b"POST /api/tasks HTTP/1.1\r\n" + host + credentials
    frame = encode_frame("x" * 60_000)
    return {
        "half a head": (half, ()),
        "header by header": (half, repeat(b"X-More: y\r\n")),
        "a body that stops": (
            post + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
            (),
        ),
        "idle": (b"GET /healthz HTTP/1.1\r\n" + host + b"\r\n", ()),
        "a frame byte by byte": (
            b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\n"
            + host
            + credentials
            + _UPGRADE.encode()
            + frame[:1],
            (frame[n : n + 1] for n in range(1, len(frame))),
        ),
    }


async def slow_crowd(
    target: Target, size: int, bounds: HttpBounds, frame_timeout_s: float, slack_s: float
) -> Finding:
    """Slow clients of all kinds, each of which must be gone within its bound and a little more."""
    kinds = tuple(_begins(target))
    allowed_s = {
        "half a head": bounds.head_s,
        "header by header": bounds.head_s,
        "a body that stops": bounds.body_s,
        "idle": bounds.idle_s,
        "a frame byte by byte": frame_timeout_s,
    }
    dialing = asyncio.Semaphore(_AT_ONCE)

    async def one(kind: str) -> Ended:
        begin, drops = _begins(target)[kind]
        async with dialing:
            await asyncio.sleep(0)
        limit_s = 2 * allowed_s[kind] + 5 * slack_s
        every_s = bounds.head_s / _DROPS_PER_BOUND
        return await dripped(target.address, begin, drops, every_s, limit_s=limit_s)

    async def crowd() -> list[Ended | BaseException]:
        clients = (one(kinds[number % len(kinds)]) for number in range(size))
        return await asyncio.gather(*clients, return_exceptions=True)

    results, others = await target.meanwhile(crowd())

    by_kind: dict[str, list[Ended | BaseException]] = {kind: [] for kind in kinds}
    for number, result in enumerate(results):
        by_kind[kinds[number % len(kinds)]].append(result)
    seen, holds = [], others.are_served
    for kind, ends in by_kind.items():
        stayed = [end for end in ends if isinstance(end, BaseException)]
        last_s = max((end.lasted_s for end in ends if isinstance(end, Ended)), default=0.0)
        holds = holds and not stayed and last_s <= allowed_s[kind] + slack_s
        stay = f", {len(stayed)} stayed ({stayed[0]!r})" if stayed else ""
        seen.append(f"{kind} {last_s:.1f} s{stay}")
    return Finding(holds, f"{size} clients: {'; '.join(seen)}; {others}")


@attack(
    "slow clients",
    rows="S8",
    bound=f"{CROWD} of five kinds: heads gone in 15 s, others 5 s after their bound; p99 ≤ 1 s",
    limit_s=200.0,
    is_quick=False,
)
async def slow_clients(target: Target) -> Finding:
    """Half heads, headers one by one, bodies that stop, idle ones, frames byte by byte."""
    return await slow_crowd(
        target, CROWD, HttpBounds(), WEBSOCKET.frame_timeout_s or 0.0, slack_s=5.0
    )


def _deaf(address: tuple[str, int]) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
    client.connect(address)
    client.setblocking(False)
    return client


async def deaf_clients(target: Target, send_s: float, slack_s: float) -> Finding:
    """Clients that ask for one big answer after the other, and read nothing."""
    ask = target.request("GET", "/api/tasks?limit=200").replace(b"Connection: close\r\n", b"")
    loop = asyncio.get_running_loop()

    async def one() -> float:
        client = await asyncio.to_thread(_deaf, target.address)
        stopped_s = time.monotonic()
        try:
            async with asyncio.timeout(3 * (send_s + slack_s)):
                while True:  # until the server has closed it
                    await loop.sock_sendall(client, ask)
                    stopped_s = time.monotonic()
                    await asyncio.sleep(0)
        except ConnectionError:
            return time.monotonic() - stopped_s
        finally:
            client.close()

    before = target.memory_bytes()
    results, others = await target.meanwhile(
        asyncio.gather(*(one() for _ in range(_DEAF)), return_exceptions=True)
    )
    grown_mb = (target.memory_bytes() - before) / 2**20
    lasted = [result for result in results if isinstance(result, float)]
    holds = (
        others.are_served
        and len(lasted) == _DEAF
        and max(lasted) <= send_s + slack_s
        and grown_mb < 100
    )
    last_s = max(lasted, default=0.0)
    return Finding(
        holds,
        f"{len(lasted)} of {_DEAF} closed, the last {last_s:.1f} s after it stopped; "
        f"memory +{grown_mb:.0f} MB; {others}",
    )


@attack(
    "clients that do not read",
    rows="S7",
    bound="closed 45 s after they stop; memory < 100 MB more; p99 ≤ 1 s",
    limit_s=150.0,
    is_quick=False,
)
async def clients_that_do_not_read(target: Target) -> Finding:
    """Big answers that nobody takes."""
    body = b'{"input_data":{"type":"image","prompt":"' + b"x" * 1_500 + b'"}}'
    post = target.request("POST", "/api/tasks", "Content-Type: application/json", body=body)
    for _ in range(100):
        await target.say(post)
    return await deaf_clients(target, HttpBounds().send_s, slack_s=15.0)


@attack("long frames", rows="64 KiB a message", bound="closed with 1009 at the header")
async def long_frames(target: Target) -> Finding:
    """A frame, and a message in fragments, of more than 64 KiB."""
    upgrade = target.request("GET", "/socket/websocket?vsn=2.0.0").replace(
        b"Connection: close\r\n\r\n", _UPGRADE.encode()
    )
    fragment = encode_frame("x" * 30_000, Opcode.TEXT, is_final=False)
    more = encode_frame("x" * 30_000, Opcode.CONTINUATION, is_final=False)
    answers = [
        await target.say(upgrade + encode_frame("x" * 70_000)[:10]),
        await target.say(upgrade + fragment + more + more),
    ]
    codes = [int.from_bytes(answer[-2:], "big") for answer in answers]
    return Finding(codes == [1009, 1009], f"closed with {codes}")
