"""Random bytes end at most their own connection, with one of Phoenix's close codes.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.wire_client import (
    Opcode,
    WireClient,
    encode_close,
    encode_frame,
)
from tests.conftest import Dial, Open
from tests.wire import OK, V1, V2

CODES = {1000, 1002, 1007, 1009, 1011}
ATTEMPTS = 60


def seeds() -> list[bytes]:
    """Valid traffic, to be corrupted."""
    messages = [
        ["1", "1", "room:a", "phx_join", {}],
        ["1", "2", "room:a", "echo", {"a": [1, None, "é"]}],
        [None, "3", "phoenix", "heartbeat", {}],
        {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"},
    ]
    return [
        *(encode_frame(compact_json(message)) for message in messages),
        encode_frame(b"\x00\x01\x01\x06\x03" + b"12room:abin" + b"\x00\xff", Opcode.BINARY),
        encode_frame("[", is_final=False) + encode_frame("]", Opcode.CONTINUATION),
        encode_frame("ping", Opcode.PING),
        encode_close(1000, b"bye"),
    ]


def spoilt(rng: random.Random) -> Iterator[bytes]:
    """An endless stream of valid frames that are cut, repeated, changed or mixed with noise."""
    while True:
        parts = [bytearray(rng.choice(seeds())) for _part in range(rng.randrange(1, 5))]
        for part in parts:
            for _flip in range(rng.randrange(3)):
                part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
        data = b"".join(parts)
        yield data[rng.randrange(3) :] if rng.random() < 0.2 else data
        yield rng.randbytes(rng.randrange(1, 40))


@pytest.mark.parametrize("target", [V1, V2])
@pytest.mark.parametrize("seed", range(4))
async def test_noise_ends_one_connection_at_most(
    reference_url: str, open_wire: Open, dial: Dial, target: str, seed: int
) -> None:
    """Each connection survives or is closed with a code of §3.12; others are not affected."""
    attempts = spoilt(random.Random(f"{target} {seed}"))  # noqa: S311 - seeded, no secret
    peer = await open_wire(reference_url)
    await peer.join("room:peer")

    for _attempt in range(ATTEMPTS):
        client = await dial(reference_url)
        assert (await client.handshake(target)).status == 101
        data = next(attempts)
        await client.send_bytes(data + encode_close(1000))
        assert await last_code(client) in CODES, data

    assert (await peer.ask(["1", "9", "room:peer", "echo", {}]))[4] == OK


async def test_noise_instead_of_a_handshake(
    reference_url: str, open_wire: Open, dial: Dial
) -> None:
    """Bytes that are not HTTP get a response or none, and affect no other connection."""
    rng = random.Random(7)  # noqa: S311 - seeded, no secret
    peer = await open_wire(reference_url)

    for _attempt in range(ATTEMPTS):
        client = await dial(reference_url)
        await client.send_bytes(rng.randbytes(rng.randrange(1, 60)) + b"\r\n\r\n")
        await client.close()

    await peer.fence()


async def last_code(client: WireClient) -> int:
    """The code of the close frame, or 1000 if the noise contained one of ours."""
    while True:
        try:
            frame = await client.read_frame(timeout_s=0.2)
        except TimeoutError:
            return 1000
        assert frame is not None, "the connection ended without a close frame"
        if frame.opcode == Opcode.CLOSE:
            await asyncio.sleep(0)
            return frame.close_code
