"""A socket handler at its path, and the call of its `connect`."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phoenix_compat.bounded import brief
from phoenix_compat.channel import Channel, check_joinable
from phoenix_compat.endpoint.options import Drainer, TransportOptions
from phoenix_compat.errors import CallbackError, ChannelDefinitionError
from phoenix_compat.protocol.query import Params
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.result import Result, error
from phoenix_compat.runtime.reporting.logs import log_connect
from phoenix_compat.runtime.socket_server import Route
from phoenix_compat.socket import Broadcaster, ConnectInfo, Socket, SocketHandler

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MountedSocket:
    """A socket handler, the path it is mounted at, and its options."""

    path: str
    handler: type[SocketHandler]
    transports: tuple[TransportOptions, ...]
    routes: TopicRoutes[Route]
    auth_token: bool
    drainer: Drainer | None

    async def connect(
        self,
        endpoint: Broadcaster,
        params: Params,
        connect_info: ConnectInfo,
        *,
        serializer: str,
        transport: str,
    ) -> Socket | Result:
        """Call the handler's `connect`.

        Returns:
            The socket of an accepted client, or the `error(...)` that refuses it.

        Raises:
            Exception: whatever the handler raised; the transport responds with 500.

        Source: phoenix 1.8.12, socket.ex, user_connect/6.
        """
        started_at_s = time.perf_counter()
        handler = self.handler()
        socket = Socket(endpoint, self.handler, transport)
        result: Any = handler.connect(params, socket, connect_info)
        if inspect.isawaitable(result):
            if asyncio.current_task() is None:  # a fast handshake, which becomes a task here
                await asyncio.sleep(0)
            result = await result
        if not isinstance(result, Result) or result.status not in {"ok", "error"}:
            log.error("%s", CallbackError("connect", result, "ok() or error(...)"))
            result = error()
        if result.status == "ok":
            socket_id: Any = handler.id(socket)
            if socket_id is None or isinstance(socket_id, str):
                socket.id = socket_id
            else:
                log.warning(
                    "%s.id returned %s; it must return a str or None",
                    self.handler.__name__,
                    brief(socket_id),
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
            words=endpoint.credential_words,
        )
        return socket if result.status == "ok" else result


def routes_of(handler: type[SocketHandler]) -> TopicRoutes[Route]:
    """The table of a handler's channels.

    Raises:
        ChannelDefinitionError: a pattern or a channel of the handler cannot work.
    """
    name = handler.__name__
    if not isinstance(handler.channels, Mapping):
        raise ChannelDefinitionError(
            f"{name}.channels is {brief(handler.channels)}, not a dict: write "
            'channels = {"room:*": RoomChannel}'
        )
    routes: list[tuple[str, Any]] = []
    for pattern, target in handler.channels.items():
        where = f"{name}.channels[{pattern!r}]"
        channel, assigns = target if isinstance(target, tuple) else (target, None)
        if not isinstance(pattern, str):
            raise ChannelDefinitionError(f'{where}: a topic pattern is a text, such as "room:*"')
        if isinstance(channel, Channel):
            its_name = type(channel).__name__
            raise ChannelDefinitionError(
                f"{where} is an instance: give the class, because each client gets an instance of "
                f"its own: write {pattern!r}: {its_name}"
            )
        if not (isinstance(channel, type) and issubclass(channel, Channel)):
            raise ChannelDefinitionError(
                f"{where} is {brief(channel)}, not a Channel class: write "
                f"`class RoomChannel(Channel)` and {pattern!r}: RoomChannel"
            )
        if assigns is not None and not isinstance(assigns, Mapping):
            raise ChannelDefinitionError(
                f"{where} has {brief(assigns)} as assigns, not a dict: write {pattern!r}: "
                f'({channel.__name__}, {{"name": value}})'
            )
        check_joinable(channel)
        routes.append((pattern, (channel, assigns)))
    try:
        return TopicRoutes(routes)
    except ChannelDefinitionError as error:
        raise ChannelDefinitionError(f"{name}.channels: {error}") from None
