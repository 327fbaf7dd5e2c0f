"""The seam between BrokerBus and the servers that pass its messages on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from phoenix_compat.errors import PhoenixCompatError

OnMessage: TypeAlias = Callable[[str, bytes], None]
"""Called with the subject and the data of each message. Does not block, and does not raise."""


class BrokerError(PhoenixCompatError):
    """A connection to a broker could not be made, or was lost. The text has no secrets."""


class Broker(Protocol):
    """One connection to a server that passes messages on to all that subscribe to their subject.

    The server may lose any message, but never alters one, or delivers one twice. Those of one
    connection arrive in the order in which they were published, also on different subjects. The
    publisher gets its own messages too if it subscribes to their subject.

    Subjects consist of letters, digits, `.`, `_` and `-`, and have at most 48 characters.
    """

    @property
    def name(self) -> str:
        """The scheme, host and port, for logs; without the password."""

    @property
    def max_payload_bytes(self) -> int:
        """The longest data that `publish` takes now."""

    def load(self) -> None:
        """Import the driver; may block, and is called before the first `run`.

        Raises:
            MissingExtraError: the driver is not installed.
            ConfigError: the address cannot be used; the text has no secrets.
        """

    async def run(
        self, subjects: Sequence[str], on_message: OnMessage, on_connected: Callable[[], None]
    ) -> None:
        """Connect, subscribe, and deliver messages until the connection is lost.

        It makes one attempt; BrokerBus calls it again. It ends within a second when it is
        cancelled. It may wait for ever on a server that has stopped: BrokerBus notices.

        Args:
            on_connected: called once, when all subjects are subscribed and `publish` works.

        Raises:
            BrokerError: why the connection could not be made, or was lost.
        """

    def publish(self, subject: str, data: bytes) -> bool:
        """Send a message at the end of this tick; never waits.

        Returns:
            False if it is dropped, because there is no connection or the queue is full.
        """
