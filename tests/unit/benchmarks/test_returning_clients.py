"""The clients of `loads.returning_clients` wait as phoenix.js does, and read what servers send."""

from __future__ import annotations

import pytest

from phoenix_compat.protocol.frame import TEXT, write_frame
from tests.benchmarks.loads.returning_clients import Client, Clients, frame, reconnect_s


def test_the_waits_are_those_of_phoenix_js() -> None:
    """`reconnectAfterMs` of phoenix.js 1.8, from the first try on."""
    waits_ms = [round(reconnect_s(tries) * 1_000) for tries in range(1, 12)]

    assert waits_ms == [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000, 5_000, 5_000]


def test_a_frame_is_masked_with_zeros() -> None:
    """It says that it is masked, as a client's must, and its text can be read."""
    assert frame([None]) == b"\x81\x86\0\0\0\0[null]"


@pytest.mark.parametrize("piece_bytes", [1, 7, 10_000])
def test_a_client_is_told_by_the_first_progress(piece_bytes: int) -> None:
    """However the stream is cut; a reply to the join alone is not enough."""
    clients = Clients(1, 1, (), ["one"])
    client = Client(clients, 0, "task:one")
    client.is_open = True
    reply = b'["1","1","task:one","phx_reply",{"status":"ok","response":{}}]'
    progress = b'["1",null,"task:one","progress",{"text":"%s"}]' % (b"x" * 300)

    told = []
    for message in (reply, progress):
        data = bytes(write_frame(TEXT, message))
        for begin in range(0, len(data), piece_bytes):
            client.heard(data[begin : begin + piece_bytes])
        told.append(clients.told)

    assert told == [0, 1]


def test_a_join_that_is_refused_is_counted() -> None:
    """The first refusals are kept as they came."""
    clients = Clients(1, 1, (), ["one"])
    client = Client(clients, 0, "task:one")
    client.is_open = True
    client.heard(bytes(write_frame(TEXT, b'["1","1","task:one","phx_reply",{"status":"error"}]')))

    assert (clients.told, len(clients.refusals)) == (0, 1)
