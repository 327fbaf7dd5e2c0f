"""Relays broadcasts between the nodes of a server."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from phoenix_compat.bounded import brief
from phoenix_compat.cluster.bus import Bus
from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import Payload
from phoenix_compat.pubsub import PubSub

log = logging.getLogger(__name__)

KIND: Final = "broadcast"


class _Relayed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A relayed broadcast; the payload is JSON, or the bytes of a binary payload."""

    topic: str
    event: str
    newest_only: bool
    is_binary: bool
    payload: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Relayed)


class PubSubRelay:
    """Sends the broadcasts of this node to all others, and publishes theirs on its topics.

    The broadcasts of one node on one topic arrive in order. Broadcasts from the bus are not relayed
    again. Every broadcast goes to every node, as in Phoenix, even without subscribers there.
    """

    def __init__(self, pubsub: PubSub, bus: Bus) -> None:
        self._pubsub = pubsub
        self._bus = bus
        pubsub.relay = self._send
        bus.on_cast(KIND, self._receive)

    def _send(self, topic: str, event: str, payload: Payload, newest_only: bool) -> None:  # noqa: FBT001 - see pubsub.Relay
        is_binary = isinstance(payload, bytes)
        data = payload if is_binary else jason.encode(payload)
        self._bus.cast(KIND, _encoder.encode(_Relayed(topic, event, newest_only, is_binary, data)))

    def _receive(self, node: int, body: bytes) -> None:
        relayed = _decoder.decode(body)
        data = relayed.payload
        try:
            payload = data if relayed.is_binary else msgspec.json.decode(data)
            self._pubsub.broadcast(
                relayed.topic,
                relayed.event,
                payload,
                newest_only=relayed.newest_only,
                is_local=True,
            )
        except (EncodeError, RecursionError) as error:  # nested to almost the recursion limit
            topic = brief(relayed.topic)
            log.warning("dropped a broadcast of node %d on %s: %s", node, topic, error)
