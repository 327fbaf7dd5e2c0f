"""Malformed, ambiguous and very many requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from tests.attack.registry import Finding, attack
from tests.attack.target import Target, status_of
from tests.integration.hardening.test_malformed_requests import MALFORMED, ODD

_TIMES: Final = 20
_PIPELINED: Final = 1_000
_REFUSALS: Final = frozenset({0, 400, 408, 411, 413, 414, 415, 421, 431, 501, 505})


def _ambiguous(host: bytes) -> Mapping[str, bytes]:
    """Requests that two servers in a row may read differently, each with a second one inside."""
    inside = b"GET /smuggled HTTP/1.1\r\n" + host + b"\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n"
    post = b"POST /api/tasks HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\n"
    length = b"Content-Length: %d\r\n" % len(inside)
    no_chunks = b"\r\n0\r\n\r\n"
    get = b"GET / HTTP/1.1\r\n"
    return {
        "length and chunks": post + length + chunked + no_chunks + inside,
        "chunks and length": post + chunked + length + no_chunks + inside,
        "two lengths": post + b"Content-Length: 0\r\n" + length + b"\r\n" + inside,
        "a list of lengths": post + b"Content-Length: 0, 5\r\n\r\n" + inside,
        "signed length": post + b"Content-Length: +0\r\n\r\n" + inside,
        "length in hex": post + b"Content-Length: 0x0\r\n\r\n" + inside,
        "unknown coding": post + b"Transfer-Encoding: xchunked\r\n" + no_chunks + inside,
        "chunked twice": post + chunked + chunked + no_chunks + inside,
        "chunked not last": post + b"Transfer-Encoding: chunked, gzip\r\n" + no_chunks + inside,
        "chunked in 1.0": post.replace(b"1.1", b"1.0", 1) + chunked + no_chunks + inside,
        "space before colon": post + b"Content-Length : 5\r\n\r\n" + inside,
        "folded header": post + b"X: a\r\n Content-Length: 5\r\n\r\n" + inside,
        "line feeds alone": (get + host + b"\r\n").replace(b"\r\n", b"\n") + inside,
        "carriage return alone": get + host + b"X: a\rY: b\r\n\r\n" + inside,
        "null byte": get + host + b"X: a\x00b\r\n\r\n" + inside,
        "two hosts": get + host + b"Host: evil.example\r\n\r\n" + inside,
        "two hosts, the other first": get + b"Host: evil.example\r\n" + host + b"\r\n" + inside,
        "chunk size in 0x": post + chunked + b"\r\n0x0\r\n\r\n" + inside,
        "chunk longer than said": post + chunked + b"\r\n1\r\nabc\r\n0\r\n\r\n" + inside,
        "huge chunk size": post + chunked + b"\r\n" + b"f" * 17 + b"\r\n" + inside,
    }


@attack("malformed requests", rows="S2", bound="refused or closed; p99 ≤ 1 s")
async def malformed_requests(target: Target) -> Finding:
    """What cannot be read."""
    kinds = {**MALFORMED, **ODD}
    kinds.pop("broken off")  # it waits for the rest; `slow clients` has that

    async def flood() -> set[int]:
        statuses = set()
        for _ in range(_TIMES):
            answers = await asyncio.gather(*(target.say(kind) for kind in kinds.values()))
            statuses |= {status_of(answer) for answer in answers}
        return statuses

    statuses, others = await target.meanwhile(flood())
    return Finding(
        statuses <= _REFUSALS and others.are_served,
        f"{_TIMES * len(kinds)} requests: statuses {sorted(statuses)}; {others}",
    )


@attack(
    "request smuggling",
    rows="malformed requests",
    bound="refused, the connection closed, and nothing behind it answered",
)
async def request_smuggling(target: Target) -> Finding:
    """Ambiguous lengths, folded headers, line feeds, two hosts."""
    kinds = _ambiguous(target.host_header)
    answers = await asyncio.gather(*(target.say(kind, wait_s=3.0) for kind in kinds.values()))
    passed = _passed(dict(zip(kinds, answers, strict=True)))
    return Finding(not passed, f"{len(kinds)} kinds; passed: {', '.join(passed) or 'none'}")


def _passed(answers: Mapping[str, bytes]) -> list[str]:
    """Those that were not refused, or behind which something was answered."""
    return [
        f"{kind} ({status_of(answer)}, {answer.count(b'HTTP/1.')} answers)"
        for kind, answer in answers.items()
        if status_of(answer) not in _REFUSALS or answer.count(b"HTTP/1.") > 1
    ]


@attack("pipelined requests", rows="malformed requests", bound="p99 of others ≤ 1 s")
async def pipelined_requests(target: Target) -> Finding:
    """A thousand requests at once from each of five sockets."""
    ask = target.request("GET", "/api/tasks/none").replace(b"Connection: close\r\n", b"")
    last = target.request("GET", "/healthz")

    async def flood() -> list[bytes]:
        data = ask * (_PIPELINED - 1) + last
        return await asyncio.gather(*(target.say(data, wait_s=15.0) for _ in range(5)))

    answers, others = await target.meanwhile(flood())
    counts = [answer.count(b"HTTP/1.1 ") for answer in answers]
    return Finding(others.are_served, f"answers on each socket: {counts}; {others}")


@attack("large heads", rows="64 KiB a head", bound="431 or 400, however they come")
async def large_heads(target: Target) -> Finding:
    """At once and without end."""
    line = b"X: " + b"y" * 4_000 + b"\r\n"
    begin = b"GET / HTTP/1.1\r\n" + target.host_header
    kinds = [begin + line * 20 + b"\r\n", begin + line * 20, begin + b"X: y\r\n" * 200 + b"\r\n"]
    statuses = [status_of(await target.say(kind)) for kind in kinds]
    return Finding(set(statuses) <= {400, 431}, f"statuses {statuses}")
