"""The endpoint: which sockets there are, and broadcasts from anywhere.

    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    mount(app, endpoint)
    endpoint.broadcast("room:lobby", "new_msg", {"body": "hello"})

Source: phoenix 1.8.12, lib/phoenix/endpoint.ex, socket/3.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Protocol, TypeVar

from phoenix_compat.bounded import brief
from phoenix_compat.channel import Channel
from phoenix_compat.errors import CallbackError, ChannelDefinitionError, ConfigError
from phoenix_compat.protocol.message import Payload
from phoenix_compat.protocol.origin import CheckOrigin, parse_check_origin
from phoenix_compat.protocol.query import Params
from phoenix_compat.protocol.serializer import DEFAULT_SERIALIZERS, Serializer
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.pubsub import PubSub, Subscriber
from phoenix_compat.result import DONE, Done, Result, error
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.logs import log_connect
from phoenix_compat.runtime.socket_server import Route
from phoenix_compat.runtime.spawner import Spawner
from phoenix_compat.runtime.tick import Tick
from phoenix_compat.runtime.wire import ByteWire
from phoenix_compat.socket import ConnectInfo, Socket, SocketHandler
from phoenix_compat.token import Tokens

log = logging.getLogger(__name__)

_SECRET_BYTES: Final = 48

W = TypeVar("W", bound=ByteWire)
T = TypeVar("T", bound="TransportOptions")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """What can be chosen for every transport of a socket.

    Attributes:
        path: the end of the URL's path; `:name` segments capture params.
        check_origin: which web pages may connect; None takes the endpoint's.
        serializers: serializers with the versions they serve, in order of preference.
        connect_info: further entries for `connect`.
    """

    transport: ClassVar[str]
    path: str
    check_origin: CheckOrigin | None = None
    serializers: Sequence[tuple[Serializer, str]] = DEFAULT_SERIALIZERS
    connect_info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketOptions(TransportOptions):
    """How a socket is served over websocket.

    Attributes:
        timeout_s: seconds without a byte from the client until it is closed with 1002.
        max_frame_bytes: one frame with its header; more is closed with 1009.
        max_message_bytes: all fragments of one message together; more is closed with 1009.
        subprotocols: names to choose from; None ignores what clients offer.
        error_handler: makes an HTTP answer of `error(reason)` from `connect`; called with aiohttp's
            request and the reason, returns an aiohttp response. None answers 403, empty.

    Source: phoenix 1.8.12, lib/phoenix/transports/websocket.ex, default_config/0.
    """

    transport: ClassVar[str] = "websocket"
    path: str = "/websocket"
    timeout_s: float = 60.0
    max_frame_bytes: int = 10_000_000
    max_message_bytes: int = 8_000_000
    subprotocols: Sequence[str] | None = None
    error_handler: Callable[[Any, Any], Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPollOptions(TransportOptions):
    """How a socket is served over long-polling.

    Attributes:
        window_s: how long a poll waits for messages, and a message for the session. A session that
            is not polled for one and a half windows ends.
        token_max_age_s: how long a session's token is good.
        max_body_bytes: one POST; more is HTTP 400.
        max_batch_messages: messages of one POST; further ones are passed over, as in Phoenix.

    Source: phoenix 1.8.12, lib/phoenix/transports/long_poll.ex, default_config/0 and publish/4.
    """

    transport: ClassVar[str] = "longpoll"
    path: str = "/longpoll"
    window_s: float = 10.0
    token_max_age_s: float = 1_209_600.0
    max_body_bytes: int = 8_000_000
    max_batch_messages: int = 100


@dataclass(frozen=True, slots=True)
class Drainer:
    """How clients with joined channels are sent away when the server stops.

    They are closed with 1012, batch after batch, so that not all come back to the next server in
    the same moment.

    Attributes:
        batch_size: clients per batch.
        batch_interval_s: the wait between two batches.
        shutdown_s: after this, those that are left are closed at once.

    Source: phoenix 1.8.12, lib/phoenix/socket/pool_supervisor.ex, terminate/2.
    """

    batch_size: int = 10_000
    batch_interval_s: float = 2.0
    shutdown_s: float = 30.0


@dataclass(frozen=True, slots=True)
class MountedSocket:
    """A socket at its path."""

    path: str
    handler: type[SocketHandler]
    transports: tuple[TransportOptions, ...]
    routes: TopicRoutes[Route]
    auth_token: bool
    drainer: Drainer | None

    async def connect(
        self,
        endpoint: Endpoint,
        params: Params,
        connect_info: ConnectInfo,
        *,
        serializer: str,
        transport: str,
    ) -> Socket | Result:
        """Ask the handler: the socket of an accepted client, or the refusal.

        Raises:
            Exception: whatever the handler raised; the transport answers 500.

        Source: phoenix 1.8.12, socket.ex, user_connect/6.
        """
        started_at_s = time.perf_counter()
        handler = self.handler()
        socket = Socket(endpoint, self.handler, transport)
        result: Any = handler.connect(params, socket, connect_info)
        if inspect.isawaitable(result):
            result = await result
        if not isinstance(result, Result) or result.status not in {"ok", "error"}:
            log.error("%s", CallbackError("connect", result, "ok() or error(...)"))
            result = error()
        if result.status == "ok":
            name: Any = handler.id(socket)
            if name is None or isinstance(name, str):
                socket.id = name
            else:
                log.warning(
                    "%s.id returned %s: give a str or None", self.handler.__name__, brief(name)
                )
                result = error()
        log_connect(
            self.handler.log,
            is_accepted=result.status == "ok",
            handler=self.handler.__name__,
            transport=transport,
            serializer=serializer,
            params=params,
            took_s=time.perf_counter() - started_at_s,
        )
        return socket if result.status == "ok" else result


class Endpoint:
    """Mounts sockets and owns what their connections share.

    Args:
        url_host: the host of this server's own pages, for `check_origin=True`.
        check_origin: what sockets use that say nothing of their own.
        host_setting: what the operator of this program knows `url_host` by; the log names it when
            an origin is refused.
        secret_key_base: the secret behind `tokens` and long-poll sessions, as in Phoenix at least
            20 bytes, shared with a Phoenix app whose tokens are to be read. None draws one for the
            life of this process.
        limits: bounds on what one client can make the server hold.

    Attributes:
        pubsub: the topics.
        tokens: signs and verifies as Phoenix.Token does.
        counters: how often which bound was met.
        tick: when what is produced now is written; for transports.
    """

    def __init__(
        self,
        *,
        url_host: str | None = "localhost",
        check_origin: CheckOrigin = True,
        host_setting: str = "url_host",
        secret_key_base: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.url_host = url_host
        self.check_origin = parse_check_origin(check_origin)
        self.host_setting = host_setting
        self.limits = limits or Limits()
        self.counters = Counters()
        self.tokens = Tokens(secret_key_base or secrets.token_urlsafe(_SECRET_BYTES))
        self.pubsub = PubSub()
        self.spawner = Spawner()
        self.is_closing = False
        self.tick = Tick()
        self._wires: dict[tuple[type[ByteWire], Serializer], ByteWire] = {}
        self._sockets: list[MountedSocket] = []
        self._transports: list[Transport] = []
        self._all_gone: asyncio.Event | None = None

    @property
    def sockets(self) -> Sequence[MountedSocket]:
        """What was mounted, in order."""
        return self._sockets

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return sum(len(transport) for transport in self._transports)

    def socket(  # noqa: PLR0913 - Phoenix's options, by name
        self,
        path: str,
        handler: type[SocketHandler],
        *,
        websocket: WebSocketOptions | bool = True,
        longpoll: LongPollOptions | bool = False,
        auth_token: bool = False,
        drainer: Drainer | bool = True,
    ) -> None:
        """Mount a socket: `/socket` serves `/socket/websocket` and, if asked, `/socket/longpoll`.

        Args:
            websocket, longpoll: options, True for the defaults, False for none.
            auth_token: put the token that phoenix.js sends with `authToken` into
                `connect_info["auth_token"]`, None when there is none.
            drainer: how clients are sent away when the server stops; False closes all at once.

        Raises:
            ChannelDefinitionError: a pattern or a channel of the handler cannot work.
            ConfigError: an option cannot work.
        """
        if not path.startswith("/"):
            raise ConfigError(f"socket path {path!r} must begin with '/'")
        transports = tuple(
            self._checked(options)
            for options in (
                WebSocketOptions() if websocket is True else websocket,
                LongPollOptions() if longpoll is True else longpoll,
            )
            if not isinstance(options, bool)
        )
        self._sockets.append(
            MountedSocket(
                path,
                handler,
                transports,
                _routes_of(handler),
                auth_token,
                Drainer() if drainer is True else drainer or None,
            )
        )

    def _checked(self, options: T) -> T:
        """The options with their origins read, or the endpoint's in their place."""
        own = options.check_origin
        check = self.check_origin if own is None else parse_check_origin(own)
        return replace(options, check_origin=check)

    # Broadcasts from anywhere.

    def broadcast(
        self, topic: str, event: str, payload: Payload, *, newest_only: bool = False
    ) -> Done:
        """Send an event to every subscriber of a topic. Never waits; `await` is allowed.

        Args:
            newest_only: a client that does not read need hear only the newest of these, as with
                progress: what waits for it of this event on this topic is replaced.

        Raises:
            EncodeError: the payload cannot be encoded for a client that listens.
        """
        self.pubsub.broadcast(topic, event, payload, newest_only=newest_only)
        return DONE

    def broadcast_from(
        self, subscriber: Subscriber, topic: str, event: str, payload: Payload
    ) -> Done:
        """Send an event to every subscriber of a topic except one."""
        self.pubsub.broadcast(topic, event, payload, but=subscriber)
        return DONE

    def local_broadcast(
        self, topic: str, event: str, payload: Payload, *, newest_only: bool = False
    ) -> Done:
        """Send an event to the subscribers of a topic in this process only."""
        self.pubsub.broadcast(topic, event, payload, newest_only=newest_only, is_local=True)
        return DONE

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Have a function called with every broadcast of a topic."""
        self.pubsub.subscribe(topic, subscriber)

    def unsubscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Undo `subscribe`."""
        self.pubsub.unsubscribe(topic, subscriber)

    # For transports.

    def wire(self, kind: type[W], serializer: Serializer) -> W:
        """The one wire of this kind with this serializer, so that its bytes can be shared."""
        wire = self._wires.get((kind, serializer))
        if not isinstance(wire, kind):
            wire = kind(serializer, self.tick, self.limits, self.counters)
            self._wires[kind, serializer] = wire
        return wire

    def serve(self, transport: Transport) -> None:
        """Close this transport's clients with the endpoint."""
        self._transports.append(transport)

    def client_gone(self) -> None:
        """A transport lost a client."""
        if self._all_gone is not None and not self.connections:
            self._all_gone.set()

    async def close(self) -> None:
        """Send every client away, and give callbacks some seconds to end.

        Clients with joined channels hear 1012, in batches, and come back; the rest hear 1000.
        """
        self.is_closing = True
        await asyncio.gather(*(transport.drain() for transport in self._transports))
        for transport in self._transports:
            transport.close_all()
        if self.connections:
            self._all_gone = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), self.limits.close_timeout_s)
        for transport in self._transports:
            transport.abort_all()
        await self.spawner.wait(self.limits.shutdown_timeout_s)


class Transport(Protocol):
    """What an endpoint asks of a mounted transport."""

    def __len__(self) -> int:
        """How many clients are connected."""

    async def drain(self) -> None:
        """Send clients with joined channels away, batch after batch."""

    def close_all(self) -> None:
        """Begin to close every client that is left."""

    def abort_all(self) -> None:
        """Drop the clients that are still connected."""


async def drain_in_batches(clients: Sequence[Drained], drainer: Drainer | None) -> None:
    """Send these clients away as the drainer says; those that are left at its end stay."""
    if drainer is None:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(drainer.shutdown_s):
            for start in range(0, len(clients), drainer.batch_size):
                if start:
                    await asyncio.sleep(drainer.batch_interval_s)
                for client in clients[start : start + drainer.batch_size]:
                    client.drain()


class Drained(Protocol):
    """A client that can be sent away."""

    def drain(self) -> None:
        """Close because the server restarts."""


def _routes_of(handler: type[SocketHandler]) -> TopicRoutes[Route]:
    """The handler's channels, as a table; each value is a channel, or a pair with assigns."""
    routes: list[tuple[str, Route]] = []
    for pattern, target in handler.channels.items():
        channel, assigns = target if isinstance(target, tuple) else (target, None)
        if not (isinstance(channel, type) and issubclass(channel, Channel)):
            raise ChannelDefinitionError(
                f"{handler.__name__}.channels[{pattern!r}] is {channel!r}, not a Channel class"
            )
        routes.append((pattern, (channel, assigns)))
    return TopicRoutes(routes)
