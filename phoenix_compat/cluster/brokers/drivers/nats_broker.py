"""Passes messages through NATS, on core subjects: nothing is stored.

nats-py does not reconnect here. A lost connection ends `run`, and BrokerBus calls it again, so that
every node knows that it may have missed something.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from phoenix_compat.cluster.brokers.broker import BrokerError, OnMessage
from phoenix_compat.cluster.brokers.broker_bus import BrokerBus
from phoenix_compat.cluster.brokers.drivers.nats_address import NatsAddress
from phoenix_compat.cluster.brokers.drivers.send_queue import SendQueue
from phoenix_compat.cluster.brokers.drivers.working import reason_of, until_one_ends
from phoenix_compat.cluster.brokers.options import BusOptions
from phoenix_compat.cluster.bus import MAX_QUEUE_BYTES
from phoenix_compat.extras import require

if TYPE_CHECKING:
    from typing import Unpack

    from nats.aio.client import Client
    from nats.aio.msg import Msg

CONNECT_S: Final = 5.0
CLOSE_S: Final = 0.8
"""How long the end may take; then the connection is dropped."""
PAUSE_S: Final = 0.002
"""The shortest time from one write to the next: each write, and what comes back, costs as much as
several messages in one."""
MAX_UNHANDLED: Final = 65_536
"""The limit of messages that have arrived and are not handled yet; more are dropped."""
_MAX_PAYLOAD_BYTES: Final = 2**20
"""What NATS has by default. A server may take more, but handling one message blocks the loop."""
_PING_INTERVAL_S: Final = 10


class NatsBus(BrokerBus):
    """A Bus through NATS, for nodes on any machines.

    Args:
        url: `nats://HOST:4222`, or `tls://HOST:4222`, which refuses a server without TLS; several
            servers of a cluster are separated by commas. A login stands before the host:
            `nats://USER:PASSWORD@HOST` or `nats://TOKEN@HOST`. Parameters name files:
            `?credentials=` and `?nkey_seed=` log in, which needs the package nkeys, and `?tls_ca=`
            has the certificate authorities.
        tls: the certificates, instead of those that the URL names.
        options: see BrokerBus.

    Raises:
        MissingExtraError: the extra `nats` is not installed.
        ConfigError: an argument is invalid; the text does not contain the URL.
    """

    def __init__(
        self, url: str, *, tls: ssl.SSLContext | None = None, **options: Unpack[BusOptions]
    ) -> None:
        super().__init__(NatsBroker(url, tls=tls), **options)


class NatsBroker:
    """One connection to a NATS server, or to one of a cluster's; see broker.Broker.

    Args:
        url, tls: see NatsBus.
        max_queue_bytes: the limit of unsent bytes.

    Attributes:
        name: the servers without user and password, for logs.
        max_payload_bytes: the limit of one message, or the server's own if that is lower.
    """

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
    ) -> None:
        require("nats")
        self._address = NatsAddress.parse(url)
        self.name = self._address.name
        self.max_payload_bytes = _MAX_PAYLOAD_BYTES
        self._tls = tls
        self._queue = SendQueue(max_queue_bytes)
        self._errors: deque[Exception] = deque(maxlen=1)
        self._ended = asyncio.Event()
        self._is_connected = False

    def load(self) -> None:
        """See broker.Broker."""
        import_module("nats.aio.client")

    def publish(self, subject: str, data: bytes) -> bool:
        """See broker.Broker."""
        return len(data) <= self.max_payload_bytes and self._queue.put(subject, data)

    async def run(
        self, subjects: Sequence[str], on_message: OnMessage, on_connected: Callable[[], None]
    ) -> None:
        """See broker.Broker."""
        from nats.aio.client import Client  # noqa: PLC0415 - an extra
        from nats.errors import Error  # noqa: PLC0415 - an extra

        self._errors.clear()
        self._ended = asyncio.Event()
        client = Client()
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._connect(client, await self._options(client))
                await self._subscribe(client, subjects, on_message)
                _end_if_cancelled()
            self.max_payload_bytes = min(client.max_payload, _MAX_PAYLOAD_BYTES)
            self._queue.open()
            self._is_connected = True
            on_connected()
            await until_one_ends(self._send_forever(client), self._wait_until_ended())
        except TimeoutError:
            raise BrokerError(f"it did not answer in {CONNECT_S} s") from None
        except (OSError, Error) as error:
            # Where all servers refuse, nats-py says only that.
            raise BrokerError(reason_of(*self._errors or [error])) from error
        finally:
            self._is_connected = False
            await self._close(client)
        reason = reason_of(*self._errors) if self._errors else "it has closed the connection"
        raise BrokerError(reason)

    async def _options(self, client: Client) -> dict[str, Any]:
        """What the address says about logins and certificates, from their files."""
        try:
            return await asyncio.to_thread(self._address.options, client, self._tls)
        except (OSError, ValueError, ImportError) as error:
            raise BrokerError(reason_of(error)) from None

    async def _connect(self, client: Client, options: dict[str, Any]) -> None:
        await client.connect(
            list(self._address.servers),
            name="phoenix_compat",
            error_cb=self._handle_error,
            closed_cb=self._handle_closed,
            allow_reconnect=False,
            # With a server that refuses connections it would try for minutes.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=int(CONNECT_S),
            ping_interval=_PING_INTERVAL_S,
            **options,
        )
        self._address.check_encryption(client)

    async def _subscribe(
        self, client: Client, subjects: Sequence[str], on_message: OnMessage
    ) -> None:
        async def handle(message: Msg) -> None:
            if self._is_connected:  # before, to the bus, nothing is subscribed
                on_message(message.subject, message.data)

        subscriptions = [
            await client.subscribe(
                subject, cb=handle, pending_msgs_limit=MAX_UNHANDLED, pending_bytes_limit=0
            )
            for subject in subjects
        ]
        # nats-py keeps the order of each subscription only. With one queue for all of them it is
        # the order of arrival, whichever takes the next message from it.
        for subscription in subscriptions:
            subscription._pending_queue = subscriptions[0]._pending_queue  # noqa: SLF001
        await client.flush()  # the answer comes after the server has all of them

    async def _send_forever(self, client: Client) -> None:
        while True:
            for subject, data in await self._queue.take():
                await client.publish(subject, data)
                _end_if_cancelled()
            await asyncio.sleep(PAUSE_S)

    async def _wait_until_ended(self) -> None:
        await self._ended.wait()

    async def _close(self, client: Client) -> None:
        self._queue.close()
        _drop(client)
        # It fails where `connect` did early. The connection has ended in any case.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_S):
                await client.close()

    async def _handle_error(self, error: Exception) -> None:
        from nats.errors import SlowConsumerError  # noqa: PLC0415 - an extra

        if not isinstance(error, SlowConsumerError):  # what is dropped is found as a gap
            self._errors.append(error)
            self._ended.set()

    async def _handle_closed(self) -> None:
        self._ended.set()


def _end_if_cancelled() -> None:
    """End this task if nats-py has caught its cancellation, as it does while it flushes."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _drop(client: Client) -> None:
    """Drop the connection with all that is not sent: `close` would wait until it is."""
    transport: Any = client._transport  # noqa: SLF001 - it has no public way
    client._pending.clear()  # noqa: SLF001 - the same
    client._pending_data_size = 0  # noqa: SLF001 - the same
    with contextlib.suppress(AttributeError):
        transport._io_writer.transport.abort()  # noqa: SLF001 - the same
