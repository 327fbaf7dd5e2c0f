"""A machine whose processes share a connection to a broker."""

from __future__ import annotations

import itertools
import secrets
from pathlib import Path
from typing import Any

from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.cluster.brokers.addresses import INBOX_BITS
from phoenix_compat.cluster.brokers.broker import Broker
from phoenix_compat.cluster.siblings import SharedBroker


class Machine:
    """Makes the buses of processes, each of a further one.

    Args:
        folder: has a name that is short enough for paths of sockets.

    Attributes:
        prefix, folder, inboxes: what the processes have in common. The last inbox is not used.
    """

    def __init__(self, folder: Path, size: int = 16) -> None:
        self.prefix = f"siblings-{secrets.token_hex(4)}"
        self.folder = folder
        self.inboxes = [secrets.randbits(INBOX_BITS) for _ in range(size + 1)]
        self._numbers = itertools.cycle(range(size))

    def bus(self, broker: Broker, heartbeat_s: float = 2.0, **options: Any) -> BrokerBus:
        """The bus of one process; options as of BrokerBus."""
        shared = SharedBroker(broker, self.folder, prefix=self.prefix, inboxes=self.inboxes)
        inbox = self.inboxes[next(self._numbers)]
        return BrokerBus(
            shared, prefix=self.prefix, inbox=inbox, heartbeat_s=heartbeat_s, **options
        )
