"""Lists the clients of this server, and disconnects them.

A list is made when somebody asks for it. Only the clients of the page that is asked for are
described, so 10 000 clients cost one look at each.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Literal, TypeAlias

import msgspec

from phoenix_compat.bounded import plain
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.protocol.serializer import V1, V2, Serializer
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.server.auth.principal import Principal
from phoenix_compat.server.inspection.processes import Processes

MAX_PAGE: Final = 200
"""The most clients of one page."""
MAX_OFFSET: Final = 1_000
"""Who looks for a client further down the list searches for it."""
MAX_TOPICS: Final = 20
"""The most topics that are listed of one client; the rest is counted."""

_LIST: Final = "sockets.list"
_DISCONNECT: Final = "sockets.disconnect"

Order: TypeAlias = Literal["newest", "oldest", "waiting"]


class SocketQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which clients to list.

    Attributes:
        text: only clients with this text in their id, owner, transport, version or topics.
        owner: only clients of this owner; None for all.
        order: newest or oldest first, or those with the most unsent bytes.
        limit: at most MAX_PAGE.
    """

    text: str = ""
    owner: str | None = None
    order: Order = "newest"
    offset: int = 0
    limit: int = 50

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 0 <= self.offset <= MAX_OFFSET:
            raise ValueError(f"offset must be 0 to {MAX_OFFSET}")
        if not 1 <= self.limit <= MAX_PAGE:
            raise ValueError(f"limit must be 1 to {MAX_PAGE}")


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One connected client.

    Attributes:
        id: the number of its process, a hyphen, and the number of its connection there.
        owner: None if it has none: with `auth_at_join`, or on another socket handler.
        handler: the name of its socket handler.
        vsn: the version of its frames.
        topics: the first of its joined topics.
        joined: how many topics it has joined.
        unsent_bytes: what it has not taken yet.
        age_s: since when it is connected.
        heartbeat_age_s: the time since its last heartbeat; None before the first.
        address: its address, if it is known.
    """

    id: str
    owner: str | None
    handler: str
    transport: str
    vsn: str
    topics: tuple[str, ...]
    joined: int
    unsent_bytes: int
    age_s: float
    heartbeat_age_s: float | None
    address: str | None


class ClientPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list of clients.

    Attributes:
        found: how many clients fit to the query.
        connected: how many clients there are.
        silent: the processes that did not answer; their clients are missing.
    """

    clients: tuple[Client, ...]
    found: int
    connected: int
    silent: tuple[int, ...] = ()


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    """What a disconnect did.

    Attributes:
        clients: how many clients were disconnected.
        silent: the processes that did not answer; their clients may be connected still.
    """

    clients: int
    silent: tuple[int, ...] = ()


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which clients a process describes: the first ones, as far as the page could need them."""

    text: str
    owner: str | None
    order: Order
    count: int


class _Whom(msgspec.Struct, frozen=True):
    """Whom to disconnect: an owner's clients, or the client with this number."""

    owner: str | None = None
    number: int | None = None


class UnknownSocketError(PhoenixCompatError):
    """No client has this id; it may have disconnected."""


_wanted: Final = msgspec.json.Decoder(_Wanted)
_page: Final = msgspec.json.Decoder(ClientPage)
_whom: Final = msgspec.json.Decoder(_Whom)
_disconnected: Final = msgspec.json.Decoder(Disconnected)

_ORDERS: Final[dict[Order, Callable[[SocketServer], int]]] = {
    "newest": lambda server: -server.number,
    "oldest": lambda server: server.number,
    "waiting": lambda server: -server.outbox.unsent_bytes,
}
_MERGED: Final[dict[Order, Callable[[Client], float]]] = {
    "newest": lambda client: client.age_s,
    "oldest": lambda client: -client.age_s,
    "waiting": lambda client: -client.unsent_bytes,
}


_VERSIONS: Final[dict[Serializer, str]] = {V1: "1.0.0", V2: "2.0.0"}


class Sockets:
    """The clients of all processes of this server."""

    def __init__(self, endpoint: Endpoint, processes: Processes) -> None:
        self._endpoint = endpoint
        self._processes = processes
        processes.answer(_LIST, self._answer_list)
        processes.answer(_DISCONNECT, self._answer_disconnect)

    async def list(self, query: SocketQuery) -> ClientPage:
        """A page of the clients of all processes."""
        end = query.offset + query.limit
        wanted = _Wanted(text=query.text, owner=query.owner, order=query.order, count=end)
        answers = await self._processes.ask_all(_LIST, msgspec.json.encode(wanted))
        pages = [_page.decode(body) for body in answers.by_node.values()]
        clients = heapq.merge(*(page.clients for page in pages), key=_MERGED[query.order])
        return ClientPage(
            clients=tuple(islice(clients, query.offset, end)),
            found=sum(page.found for page in pages),
            connected=sum(page.connected for page in pages),
            silent=answers.silent,
        )

    async def disconnect(self, client_id: str) -> Disconnected:
        """Disconnect one client with 1001. It may connect again.

        Raises:
            UnknownSocketError: no client has this id.
            ProcessError: its process did not answer.
        """
        node, number = number_of(client_id)
        body = msgspec.json.encode(_Whom(number=number))
        done = _disconnected.decode(await self._processes.ask(node, _DISCONNECT, body))
        if not done.clients:
            raise UnknownSocketError(f"no client has the id {client_id}; it may have disconnected")
        return done

    async def disconnect_owner(self, owner: str) -> Disconnected:
        """Disconnect all clients of an owner with 1001; they may connect again.

        A client whose channels have owners of their own is disconnected if one of them is this.
        """
        body = msgspec.json.encode(_Whom(owner=owner))
        answers = await self._processes.ask_all(_DISCONNECT, body)
        done = [_disconnected.decode(answer) for answer in answers.by_node.values()]
        return Disconnected(clients=sum(each.clients for each in done), silent=answers.silent)

    # This process.

    async def _answer_list(self, body: bytes) -> bytes:
        wanted = _wanted.decode(body)
        servers = self._open_clients()
        found = [server for server in servers if self._fits(server, wanted)]
        first = heapq.nsmallest(wanted.count, found, key=_ORDERS[wanted.order])
        now_s = time.monotonic()
        page = ClientPage(
            clients=tuple(self._describe(server, now_s) for server in first),
            found=len(found),
            connected=len(servers),
        )
        return msgspec.json.encode(page)

    async def _answer_disconnect(self, body: bytes) -> bytes:
        whom = _whom.decode(body)
        servers = [
            server
            for server in self._open_clients()
            if (server.number == whom.number if whom.owner is None else _is_of(server, whom.owner))
        ]
        for server in servers:
            server.disconnect()
        return msgspec.json.encode(Disconnected(clients=len(servers)))

    def _open_clients(self) -> Sequence[SocketServer]:
        """The clients of this process, without those that are being closed."""
        return [server for server in self._endpoint.clients if server.closed_for is None]

    def _fits(self, server: SocketServer, wanted: _Wanted) -> bool:
        if wanted.owner is not None and not _is_of(server, wanted.owner):
            return False
        text = wanted.text
        return not text or (
            text in self.id_of(server)
            or any(text in owner for owner in _owners(server))
            or text in server.socket.transport
            or text in _vsn(server)
            or any(text in topic for topic in server.channels)
        )

    def id_of(self, server: SocketServer) -> str:
        """The id of a client of this process."""
        return f"{self._processes.node}-{server.number}"

    def _describe(self, server: SocketServer, now_s: float) -> Client:
        socket = server.socket
        heartbeat_at_s = server.heartbeat_at_s
        address = socket.assigns.get("address")
        return Client(
            id=self.id_of(server),
            owner=next(iter(_owners(server)), None),
            handler=socket.handler.__name__,
            transport=socket.transport,
            vsn=_vsn(server),
            topics=tuple(plain(topic) for topic in islice(server.channels, MAX_TOPICS)),
            joined=len(server.channels),
            unsent_bytes=server.outbox.unsent_bytes,
            age_s=round(now_s - server.opened_at_s, 1),
            heartbeat_age_s=round(now_s - heartbeat_at_s, 1) if heartbeat_at_s else None,
            address=address if isinstance(address, str) else None,
        )


def _owners(server: SocketServer) -> dict[str, None]:
    """The owner of a connection, and those of its channels, each once."""
    sockets = (server.socket, *(channel.socket for channel in server.channels.values()))
    found = (socket.assigns.get("principal") for socket in sockets)
    return {each.owner: None for each in found if isinstance(each, Principal)}


def _vsn(server: SocketServer) -> str:
    serializer = server.outbox.wire.serializer
    return _VERSIONS.get(serializer, serializer.name)


def _is_of(server: SocketServer, owner: str) -> bool:
    return owner in _owners(server)


def number_of(client_id: str) -> tuple[int, int]:
    """The process of a client, and its number there.

    Raises:
        UnknownSocketError: this is not the id of a client.
    """
    node, _, number = client_id.partition("-")
    if not (_is_number(node) and _is_number(number)):
        raise UnknownSocketError(
            f"{plain(client_id)!r} is not the id of a client; the list of clients shows them"
        )
    return int(node), int(number)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
