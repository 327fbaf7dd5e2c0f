"""Meets a server once before it is judged, so that its code is loaded. It judges nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final
from urllib.parse import quote, urlsplit

from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.connections import exchange, read_json
from phoenix_compat.conformance.suite.judging.pulse import FAILURES
from phoenix_compat.conformance.suite.wire_client import WireClient, encode_close

LIMIT_S: Final = 10.0
"""A server that has not answered by then is judged as it is."""

_QUERY: Final = "vsn=2.0.0&user=warm-up"
_MOUNTS: Final = ("/socket", "/slow", "/extra")
_TOPICS: Final = ("room:warm-up", "task:warm-up", "presence:warm-up")


async def warm_up(base_url: str) -> None:
    """Connect to each mount and join once, and open a long-poll session on each that has it.

    Whatever the server does then is ignored; it takes at most `LIMIT_S`.
    """
    plays = [_join(base_url, mount) for mount in _MOUNTS]
    plays += [_poll(base_url, mount) for mount in _MOUNTS]
    with suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*plays)


async def _join(base_url: str, mount: str) -> None:
    with suppress(*FAILURES):
        client = await WireClient.connect(base_url)
        try:
            prefix = urlsplit(base_url).path.rstrip("/")
            response = await client.handshake(
                f"{prefix}{mount}/websocket?{_QUERY}", timeout_s=LIMIT_S
            )
            if response.status == 101:
                await _join_topics(client)
                await client.send_bytes(encode_close(1000))
        finally:
            await client.close()


async def _join_topics(client: WireClient) -> None:
    for topic in _TOPICS:
        await client.send_frame(compact_json([topic, topic, topic, "phx_join", {}]))
    missing = set(_TOPICS)
    while missing and (frame := await client.read_frame(None)) is not None:
        missing -= {
            topic for topic in missing if f'"{topic}","phx_reply"'.encode() in frame.payload
        }


async def _poll(base_url: str, mount: str) -> None:
    target = f"{mount}/longpoll?{_QUERY}"
    with suppress(*FAILURES):
        opened = read_json(await exchange(base_url, "GET", target))
        target += f"&token={quote(str(opened.get('token', '')), safe='')}"
        join = compact_json(["1", "1", _TOPICS[0], "phx_join", {}])
        headers = [("Content-Type", "application/x-ndjson")]
        if "token" in opened:
            await exchange(base_url, "POST", target, headers, join.encode())
            await exchange(base_url, "GET", target)
