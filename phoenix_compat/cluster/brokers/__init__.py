"""Connects nodes on any machines through a broker, a server that passes their messages on.

BrokerBus is the bus; a Broker is one connection to Redis or another such server. Start with
`broker_bus`. The driver of a broker is imported when its bus is opened.
"""

from phoenix_compat.cluster.brokers.broker import Broker, BrokerError
from phoenix_compat.cluster.brokers.broker_bus import BrokerBus
from phoenix_compat.cluster.brokers.drivers.nats_broker import NatsBus
from phoenix_compat.cluster.brokers.drivers.postgres_broker import PostgresBus
from phoenix_compat.cluster.brokers.drivers.redis_broker import RedisBus

__all__ = ["Broker", "BrokerBus", "BrokerError", "NatsBus", "PostgresBus", "RedisBus"]
