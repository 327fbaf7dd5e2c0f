"""Deep, long and broken messages, tokens, signatures and log lines."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Final
from urllib.parse import quote

from phoenix_compat.conformance.suite.wire_client import Opcode
from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.tasks.provider.webhook_tags import WebhookTags
from tests.attack.registry import Finding, attack
from tests.attack.target import Target, own_target, status_of
from tests.integration.hardening.test_deep_json import frames, nested
from tests.wire import V1, V2, PhoenixWire

_TIMES: Final = 10
_ROUNDS: Final = 5
_TOKEN: Final = "r8_attack"
_FORGED: Final = "FORGED-BY-THE-ATTACK"
_ENDS: Final = ("\n", "\r", "\x1b[2J", "\u2028", "\x85", "\u202e")


@attack("deep JSON", rows="S1", bound="answered or closed; p99 ≤ 1 s")
async def deep_json(target: Target) -> Finding:
    """Over both serializers, in orders and by long-polling."""

    async def over_websocket(version: str) -> None:
        for frame in [*frames(version, "array"), *frames(version, "map", 20_000)] * _ROUNDS:
            wire = await PhoenixWire.open(target.url, version, target.credentials)
            await wire.send_text(frame)
            answer = await wire.recv_frame()
            assert answer.opcode == Opcode.TEXT or answer.close_code in {1009, 1011}, answer
            await wire.close()

    async def over_http() -> None:
        order = f'{{"input_data":{{"type":"image","prompt":"x","y":{nested(20_000)}}}}}'.encode()
        headers = ("Content-Type: application/json",)
        for _ in range(_TIMES):
            request = target.request("POST", "/api/tasks", *headers, body=order)
            assert status_of(await target.say(request)) == 400
        opened = await target.json("/socket/longpoll?vsn=2.0.0")
        path = f"/socket/longpoll?vsn=2.0.0&token={opened['token']}"
        for frame in frames(V2, "array"):
            request = target.request("POST", path, *headers, body=frame.encode())
            assert status_of(await target.say(request)) == 200

    async def flood() -> None:
        await asyncio.gather(over_websocket(V1), over_websocket(V2), over_http())

    _, others = await target.meanwhile(flood())
    return Finding(others.are_served, str(others))


@attack("huge tokens", rows="S14", bound="each refused within 1 s; p99 ≤ 1 s")
async def huge_tokens(target: Target) -> Finding:
    """Signed tokens as long as a request may be, and integers without end."""
    term = quote("SFMyNTY." + "g" * 3_500 + "." + "a" * 43)
    paths = [
        f"/socket/longpoll?vsn=2.0.0&token={term}",
        f"/socket/longpoll?vsn=2.0.0&token={'A' * 7_000}",
        f"/socket/websocket?vsn=2.0.0&token={term}",
    ]
    longest_s = 0.0

    async def flood() -> set[int]:
        nonlocal longest_s
        statuses = set()
        for path in paths * _TIMES:
            begun_s = time.monotonic()
            statuses.add(status_of(await target.say(target.request("GET", path))))
            longest_s = max(longest_s, time.monotonic() - begun_s)
        return statuses

    statuses, others = await target.meanwhile(flood())
    return Finding(
        others.are_served and longest_s <= target.late_s and max(statuses) < 500,
        f"the longest {1000 * longest_s:.0f} ms, statuses {sorted(statuses)}; {others}",
    )


@attack(
    "forged log lines",
    rows="S10",
    bound="one line each, control characters escaped",
    needs_own_server=True,
)
async def forged_log_lines(target: Target) -> Finding:
    """Line ends and escapes in topics, events, parameters, paths and headers."""
    assert target.own is not None
    begun = target.own.log_bytes
    for end in _ENDS:
        text = f"x{end}2026-01-05T10:00:00Z [info     ] {_FORGED}"
        wire = await PhoenixWire.open(target.url, f"{V2}&a={quote(text)}&{quote(text)}=b")
        await wire.send(["1", "1", f"task:{text}", "phx_join", {text: text}])
        await wire.send([None, "2", text, text, text])
        await wire.recv_many(1)
        await wire.close()
        for path in (f"/{quote(text)}", f"/api/tasks/{quote(text)}", f"/files/{quote(text)}"):
            await target.say(target.request("GET", path, f"User-Agent: {_FORGED}"))
        await target.say(text.encode() + b"\r\n\r\n")
    await target.valid_request_s()
    logged = target.own.log_text()[begun:]
    forged = [line for line in logged.splitlines() if line.startswith("2026-01-05")]
    raw = set(re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", logged))
    is_seen = _FORGED in logged
    return Finding(
        is_seen and not forged and not raw,
        f"{len(forged)} forged lines, raw characters {sorted(raw)!r}, logged: {is_seen}",
    )


@attack(
    "webhook signatures",
    rows="S13",
    bound="401 or 400, whatever the bytes",
    needs_own_server=True,
    limit_s=30.0,
)
async def webhook_signatures(target: Target) -> Finding:
    """Bytes outside of ASCII in signed headers, with a tag that is right."""
    path = f"/webhooks/replicate?task=t&tag={WebhookTags(_TOKEN).tag('t')}"
    body = json.dumps({"id": "p", "status": "succeeded"}).encode()
    folder = target.folder / "webhooks"
    folder.mkdir()
    statuses = []
    async with (
        Emulator(EmulatorSettings()) as replicate,  # it has the secret
        own_target(
            folder,
            target.late_s,
            REPLICATE_API_TOKEN=_TOKEN,
            REPLICATE_BASE_URL=replicate.base_url,
            PUBLIC_URL="https://pictures.example",
            PHOENIX_COMPAT_INSECURE_NO_AUTH="1",
        ) as server,
    ):
        for signature in (
            b"v1,\xff",
            b"v1,\xff\xfe=",
            b"v1," + b"A" * 7_000,
            b"\xc3\xa9",
            b"v1a,x",
            b"",
        ):
            head = server.request("POST", path, "Content-Type: application/json", body=body)
            signed = b"webhook-id: m\r\nwebhook-timestamp: %d\r\nwebhook-signature: %b\r\n" % (
                int(time.time()),
                signature,
            )
            answer = await server.say(head.replace(b"Connection:", signed + b"Connection:", 1))
            statuses.append(status_of(answer))
    return Finding(set(statuses) <= {400, 401}, f"statuses {statuses}")
