"""Bodies that do not arrive in time: what the task server's routes answer, and what they count."""

from __future__ import annotations

import json
from itertools import repeat
from pathlib import Path

from tests.attack.target import Target
from tests.integration.hardening.hurried import hurried
from tests.integration.hardening.slow_client import Ended, dripped
from tests.patience import patient


async def late(target: Target, path: str, *headers: str) -> Ended:
    """What becomes of a POST whose body comes byte by byte."""
    head = target.request("POST", path, "Content-Type: application/json", *headers, body=b"{")
    head = head[:-1].replace(b"Content-Length: 1\r\n", b"Content-Length: 1000\r\n")
    return await dripped(target.address, head, repeat(b" "), limit_s=patient(15.0))


async def test_the_api_answers_with_a_problem(tmp_path: Path) -> None:
    """408, and nothing is stored."""
    async with hurried(tmp_path) as target:
        ended = await late(target, "/api/tasks")
        tasks = await target.tasks()

    head, _, body = ended.received.partition(b"\r\n\r\n")
    assert json.loads(body)["type"] == "urn:phoenix-compat:problem:request-timeout"
    assert json.loads(body)["status"] == ended.status == 408
    assert b"Connection: close" in head
    assert tasks == 0


async def test_long_polling_answers_as_bandit(tmp_path: Path) -> None:
    """408 with the CORS header, so that the page's client sees it."""
    async with hurried(tmp_path) as target:
        opened = await target.json("/socket/longpoll?vsn=2.0.0")
        ended = await late(target, f"/socket/longpoll?vsn=2.0.0&token={opened['token']}")

    assert ended.status == 408
    assert b"Access-Control-Allow-Origin: *" in ended.received


async def test_healthz_counts_them(tmp_path: Path) -> None:
    """Beside the connections."""
    async with hurried(tmp_path) as target:
        await late(target, "/api/tasks")
        counts = (await target.json("/healthz"))["connections"]

    assert counts["late_bodies"] == 1
    assert counts["late_heads"] == counts["unread_closed"] == counts["refused_per_address"] == 0
