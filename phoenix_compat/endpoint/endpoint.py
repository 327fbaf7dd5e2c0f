"""Mounts sockets and sends broadcasts from anywhere.

    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    mount(app, endpoint)
    endpoint.broadcast("room:lobby", "new_msg", {"body": "hello"})

Source: phoenix 1.8.12, lib/phoenix/endpoint.ex, socket/3.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from phoenix_compat.cluster import Bus, EndpointBus
from phoenix_compat.cluster.detection import find_siblings
from phoenix_compat.endpoint.asyncapi import asyncapi_document
from phoenix_compat.endpoint.checks import (
    check_endpoint,
    check_free,
    check_session,
    check_socket,
)
from phoenix_compat.endpoint.draining import Transport
from phoenix_compat.endpoint.lifetime import Lifetime
from phoenix_compat.endpoint.mounted_socket import MountedSocket, routes_of
from phoenix_compat.endpoint.options import (
    Drainer,
    LongPollOptions,
    TransportOptions,
    WebSocketOptions,
)
from phoenix_compat.presence import Presence
from phoenix_compat.protocol.message import Payload
from phoenix_compat.protocol.origin import CheckOrigin, parse_check_origin
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.pubsub import PayloadFor, PubSub, Subscriber
from phoenix_compat.redaction import CREDENTIAL_WORDS
from phoenix_compat.result import DONE, Done
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.reporting.invalid_payloads import InvalidPayloads
from phoenix_compat.runtime.reporting.wrong_versions import WrongVersions
from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.runtime.sending.wire import ByteWire
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.runtime.spawner import Spawner
from phoenix_compat.socket import SocketHandler
from phoenix_compat.token import Tokens

log = logging.getLogger(__name__)

_SECRET_BYTES: Final = 48

W = TypeVar("W", bound=ByteWire)
T = TypeVar("T", bound="TransportOptions")


class Endpoint:
    """Mounts sockets and owns what their connections share.

    Args:
        url_host: the host of this server's own pages, for `check_origin=True`.
        check_origin: the setting for sockets that have none of their own.
        host_setting: the operator's name for the setting `url_host`; log lines about refused
            origins use it.
        secret_key_base: the secret behind `tokens` and long-poll sessions; at least 20 bytes, as in
            Phoenix. To read the tokens of a Phoenix app, use that app's secret. None creates a
            random one, which lasts as long as this process.
        limits: how much one client can make the server hold.
        bus: connects all nodes that serve this application, on one machine or many. It is open
            while an application with this endpoint runs. None for one process, or for a Cluster.
        filter_parameters: further words. In log lines the value of a parameter is `[FILTERED]` if
            the parameter's name contains one of them, or of the usual ones, in any case.

    Attributes:
        credential_words: the usual words and those of `filter_parameters`.
        pubsub: the topics and their subscribers.
        presences: the presences of its topics, in the order in which they were made.
        session_tokens: `tokens` without the warning; for transports.
        shared_bus: opens the bus; for transports.
        counters: how often each limit was reached.
        wrong_versions: logs clients with the wrong `vsn`; for transports.
        invalid_payloads: answers payloads without the declared type; for channels.
        tick: the writes of the current loop tick; for transports.
    """

    def __init__(  # noqa: PLR0913 - options, by name
        self,
        *,
        url_host: str | None = "localhost",
        check_origin: CheckOrigin = True,
        host_setting: str = "url_host",
        secret_key_base: str | None = None,
        limits: Limits | None = None,
        filter_parameters: Sequence[str] = (),
        bus: Bus | None = None,
    ) -> None:
        check_endpoint(
            url_host=url_host,
            host_setting=host_setting,
            secret_key_base=secret_key_base,
            limits=limits,
            filter_parameters=filter_parameters,
            bus=bus,
        )
        self.url_host = url_host
        self.check_origin = parse_check_origin(check_origin)
        self.host_setting = host_setting
        self.limits = limits or Limits()
        self.credential_words = (*CREDENTIAL_WORDS, *map(str.casefold, filter_parameters))
        self.counters = Counters()
        self.wrong_versions = WrongVersions(self.counters)
        self.invalid_payloads = InvalidPayloads(self.counters)
        self.session_tokens = Tokens(secret_key_base or secrets.token_urlsafe(_SECRET_BYTES))
        self._has_secret = self._is_secret_told = bool(secret_key_base)
        self.pubsub = PubSub()
        self.presences: list[Presence] = []
        self.bus = bus
        self.shared_bus = None if bus is None else EndpointBus(bus)
        self._made_in_pid = os.getpid()
        self._has_looked_for_siblings = False
        self.spawner = Spawner()
        self.tick = Tick()
        self._lifetime = Lifetime(self.limits, self.tick, self.spawner)
        self._wires: dict[tuple[type[ByteWire], Serializer], ByteWire] = {}
        self._sockets: list[MountedSocket] = []

    @property
    def tokens(self) -> Tokens:
        """Signs and verifies as Phoenix.Token does.

        The first use without a `secret_key_base` logs a warning: after a restart, and in another
        process, every token would be invalid.
        """
        if not self._is_secret_told:
            self._is_secret_told = True
            log.warning(
                "endpoint.tokens is used without a secret: its tokens are valid only in this "
                "process, and only until it ends. Write Endpoint(secret_key_base=...), with a "
                'random text that you keep secret; `python -c "import secrets; '
                'print(secrets.token_urlsafe(48))"` prints one'
            )
        return self.session_tokens

    @tokens.setter
    def tokens(self, tokens: Tokens) -> None:
        self.session_tokens = tokens
        self._has_secret = self._is_secret_told = True

    @property
    def sockets(self) -> Sequence[MountedSocket]:
        """The mounted sockets, in the order in which they were mounted."""
        return self._sockets

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self._lifetime.connections

    @property
    def clients(self) -> Iterator[SocketServer]:
        """The socket servers of the connected clients, for tools that show them; do not keep one.

        It must be read to its end before anything is awaited.
        """
        return self._lifetime.clients

    @property
    def wires(self) -> Collection[ByteWire]:
        """The wires of its clients, which count the messages."""
        return self._wires.values()

    @property
    def is_closing(self) -> bool:
        """Whether the endpoint was closed and is not open again."""
        return self._lifetime.is_closing

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
        """Mount a socket: `/socket` serves `/socket/websocket` and, if enabled, `/socket/longpoll`.

        Args:
            websocket, longpoll: the options; True for the defaults, False to disable the transport.
            auth_token: whether to put the token that phoenix.js sends with `authToken` into
                `connect_info["auth_token"]`; it is None if the client sent none.
            drainer: how clients are disconnected when the server stops; False closes all at once.

        Raises:
            ChannelDefinitionError: a pattern or a channel of the handler cannot work.
            ConfigError: an option cannot work.
        """
        check_socket(
            path,
            handler,
            websocket=websocket,
            longpoll=longpoll,
            auth_token=auth_token,
            drainer=drainer,
        )
        transports = tuple(
            self._checked(options)
            for options in (
                WebSocketOptions() if websocket is True else websocket,
                LongPollOptions() if longpoll is True else longpoll,
            )
            if not isinstance(options, bool)
        )
        for options in transports:
            check_free(f"{path}/{options.path}", handler, self._sockets)
        self._sockets.append(
            MountedSocket(
                path,
                handler,
                transports,
                routes_of(handler),
                auth_token,
                Drainer() if drainer is True else drainer or None,
            )
        )

    def _checked(self, options: T) -> T:
        """The options with `check_origin` parsed, or with the endpoint's if they have none."""
        own = options.check_origin
        check = self.check_origin if own is None else parse_check_origin(own)
        options = replace(options, check_origin=check)
        check_session(options)
        return options

    def asyncapi(
        self, *, title: str, version: str, host: str | None = None, is_secure: bool = False
    ) -> dict[str, Any]:
        """Describe the mounted sockets and their channels as an AsyncAPI 3.0 document.

        Call it after the sockets are mounted. The document has JSON values only.

        Args:
            title, version: those of your application.
            host: the host, with the port if it is not the usual one, at which clients find it; by
                default `url_host`, or "localhost".
            is_secure: whether it is served with TLS: `wss` and `https`.
        """
        return asyncapi_document(
            self._sockets,
            title=title,
            version=version,
            host=host or self.url_host or "localhost",
            is_secure=is_secure,
        )

    # Broadcasts from anywhere.

    def broadcast(
        self, topic: str, event: str, payload: Payload, *, newest_only: bool = False
    ) -> Done:
        """Send an event to every subscriber of a topic. Never waits; `await` is allowed.

        Args:
            newest_only: for events such as progress. If a slow client still has an unsent broadcast
                of this event on this topic, the new one replaces it.

        Raises:
            EncodeError: the payload cannot be encoded for one of the subscribers.
            WrongThreadError: the caller is not in the event loop that serves the clients.
        """
        self._lifetime.check_loop("endpoint.broadcast")
        self.pubsub.broadcast(topic, event, payload, newest_only=newest_only)
        return DONE

    def broadcast_from(
        self, subscriber: Subscriber, topic: str, event: str, payload: Payload
    ) -> Done:
        """Send an event to every subscriber of a topic except one."""
        self._lifetime.check_loop("endpoint.broadcast_from")
        self.pubsub.broadcast(topic, event, payload, exclude=subscriber)
        return DONE

    def local_broadcast(
        self,
        topic: str,
        event: str,
        payload: Payload,
        *,
        newest_only: bool = False,
        payload_for: PayloadFor | None = None,
    ) -> Done:
        """Send an event to the subscribers of a topic in this process only.

        Args:
            payload_for: for events that not all clients get in the same form: makes the payload for
                those with this `Socket.audience`. It is called once for each audience of the topic.
        """
        self._lifetime.check_loop("endpoint.local_broadcast")
        self.pubsub.broadcast(
            topic, event, payload, newest_only=newest_only, is_local=True, payload_for=payload_for
        )
        return DONE

    def local_broadcast_from(
        self, subscriber: Subscriber, topic: str, event: str, payload: Payload
    ) -> Done:
        """Send an event to the subscribers of a topic in this process, except one."""
        self._lifetime.check_loop("endpoint.local_broadcast_from")
        self.pubsub.broadcast(topic, event, payload, exclude=subscriber, is_local=True)
        return DONE

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Call a function with every broadcast of a topic."""
        self.pubsub.subscribe(topic, subscriber)

    def unsubscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Undo `subscribe`."""
        self.pubsub.unsubscribe(topic, subscriber)

    def check_loop(self, function: str) -> None:
        """Check, for presence, that the caller is in the thread of the clients' event loop.

        Raises:
            WrongThreadError: it is in another thread; the error names the `function`.
        """
        self._lifetime.check_loop(function)

    # For transports.

    def wire(self, kind: type[W], serializer: Serializer) -> W:
        """The shared wire of this type with this serializer, created on first use.

        Clients of the same wire take the same bytes.
        """
        wire = self._wires.get((kind, serializer))
        if not isinstance(wire, kind):
            wire = kind(serializer, self.tick, self.limits, self.counters)
            self._wires[kind, serializer] = wire
        return wire

    def open(self, *transports: Transport) -> None:
        """Accept clients of these transports, in the running event loop; `mount` does this.

        An endpoint may be opened again after its close, in any event loop, and by several
        applications of one event loop at once.

        Raises:
            ConfigError: the endpoint is open in another event loop.
        """
        self._lifetime.open(*transports)
        if not self._has_looked_for_siblings:
            self._has_looked_for_siblings = True
            siblings = None if self.pubsub.relay is not None else find_siblings(self._made_in_pid)
            if siblings is not None:
                log.warning("%s", siblings)

    def cluster_key(self) -> str | None:
        """A text that all processes with the same secret have; None without a secret."""
        return (
            self.session_tokens.fingerprint("phoenix_compat cluster") if self._has_secret else None
        )

    def serve(self, transport: Transport) -> None:
        """Add a transport before there is an event loop; `open` does this too."""
        self._lifetime.serve(transport)

    def is_open(self, transport: object) -> bool:
        """Whether a transport may accept a client."""
        return self._lifetime.is_open(transport)

    def client_disconnected(self) -> None:
        """A client of a transport has disconnected."""
        self._lifetime.client_disconnected()

    async def close(self, *transports: Transport, callbacks_timeout_s: float | None = None) -> None:
        """Close every client and wait for their callbacks, within the timeouts of `limits`.

        Clients with channels, or with a join in progress, are closed with 1012 in batches, and
        reconnect. The others are closed with 1000. The endpoint may be opened again.

        Args:
            transports: those of one application, if there are others. The clients of the others
                stay, and callbacks that take longer than the timeout are not cancelled.
            callbacks_timeout_s: instead of `limits.shutdown_timeout_s`.

        Raises:
            ConfigError: the endpoint is open in another event loop.
        """
        await self._lifetime.close(*transports, callbacks_timeout_s=callbacks_timeout_s)
