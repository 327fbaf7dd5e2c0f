"""One connection to a broker for all processes of a machine. Start with `shared_broker`."""

from phoenix_compat.cluster.siblings.shared_broker import SharedBroker

__all__ = ["SharedBroker"]
