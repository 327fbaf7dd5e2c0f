"""Broadcasts from one node to the topics of all others."""

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
    """A broadcast on its way: the payload as JSON, or as it is when it is binary."""

    topic: str
    event: str
    newest_only: bool
    is_binary: bool
    payload: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Relayed)


class PubSubRelay:
    """Hands what is broadcast here to the other nodes, and what they broadcast to our topics.

    The broadcasts of one node on one topic arrive in order. What came from the bus stays here.
    Every broadcast goes to every node, as in Phoenix, whether or not anyone there listens.
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
        except (EncodeError, RecursionError) as error:  # nested nearly as deep as can be read
            topic = brief(relayed.topic)
            log.warning("a broadcast of node %d on %s is lost: %s", node, topic, error)
