"""The metrics of sockets and channels, from the plain integers of an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.metrics.families import Family, counter, counters, gauge, gauges

_VERSIONS: Final[Mapping[str, str]] = {"V1JSONSerializer": "1.0.0", "V2JSONSerializer": "2.0.0"}


def socket_families(endpoint: Endpoint) -> Iterator[Family]:
    """The metrics of one endpoint."""
    wires, counts = endpoint.wires, endpoint.counters
    sockets: dict[tuple[str, str], float] = {}
    for wire in wires:
        name = wire.serializer.name
        labels = (wire.transport, _VERSIONS.get(name, name))
        sockets[labels] = sockets.get(labels, 0) + wire.sockets
    yield gauges("sockets", "Connected sockets.", ("transport", "vsn"), sockets.items())
    yield gauge("channels", "Joined channels.", channels_of(endpoint))
    yield gauge("topics", "Topics with a subscriber.", len(endpoint.pubsub))
    yield counter("sockets_connected", "Sockets that were accepted.", counts.sockets_connected)
    yield counters(
        "joins",
        "Joins of channels, by their reply; those that timed out crashed.",
        ("result",),
        (
            (("ok",), counts.joins_accepted),
            (("refused",), counts.joins_refused),
            (("crashed",), counts.joins_crashed),
        ),
    )
    yield _by_direction(
        "frames",
        "Messages of clients, and for clients; a broadcast counts once for each of them.",
        sum(wire.frames_received for wire in wires),
        sum(wire.frames_sent for wire in wires),
    )
    yield _by_direction(
        "frame_bytes",
        "The bytes of these messages: without framing from clients, with it for clients.",
        sum(wire.bytes_received for wire in wires),
        sum(wire.bytes_sent for wire in wires),
    )
    yield gauge("outbox_bytes", "Bytes that wait for slow clients.", unsent_bytes_of(endpoint))
    for name, text, read in _COUNTERS:
        yield counter(name, text, read(endpoint))


def channels_of(endpoint: Endpoint) -> int:
    """How many channels are joined."""
    return endpoint.counters.joins_accepted - endpoint.counters.channels_ended


def unsent_bytes_of(endpoint: Endpoint) -> int:
    """The bytes that wait for slow clients."""
    return sum(client.outbox.unsent_bytes for client in endpoint.clients)


def _by_direction(name: str, text: str, received: int, sent: int) -> Family:
    rows: tuple[tuple[tuple[str, ...], float], ...] = ((("in",), received), (("out",), sent))
    return counters(name, text, ("direction",), rows)


_COUNTERS: Final[tuple[tuple[str, str, Callable[[Endpoint], int]], ...]] = (
    (
        "slow_clients",
        "Connections closed because the client did not take what it was sent.",
        lambda endpoint: endpoint.counters.slow_clients_closed,
    ),
    (
        "heartbeat_timeouts",
        "Connections closed because the client sent nothing, not even a heartbeat.",
        lambda endpoint: endpoint.counters.idle_closed,
    ),
    (
        "drained",
        "Connections closed because the server stopped.",
        lambda endpoint: endpoint.counters.drained,
    ),
    (
        "frames_timed_out",
        "Connections closed because a frame was not complete in time.",
        lambda endpoint: endpoint.counters.frames_timed_out,
    ),
    (
        "frames_replaced",
        "Messages that a slow client did not get because a newer one replaced them.",
        lambda endpoint: endpoint.counters.frames_replaced,
    ),
    (
        "channels_crashed",
        "Channels and joins that an error ended.",
        lambda endpoint: endpoint.counters.channels_crashed,
    ),
    (
        "mailboxes_overflowed",
        "Channels ended because too many messages waited for them.",
        lambda endpoint: endpoint.counters.mailboxes_overflowed,
    ),
    (
        "wrong_versions",
        "Connections ended by a message of another vsn than the client's own.",
        lambda endpoint: endpoint.counters.wrong_versions,
    ),
    (
        "invalid_payloads",
        "Messages whose payload did not have the declared type.",
        lambda endpoint: endpoint.counters.invalid_payloads,
    ),
)
