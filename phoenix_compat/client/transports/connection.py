"""What both transports offer to the client, and the URLs that they use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

from yarl import URL

from phoenix_compat.bounded import brief
from phoenix_compat.client.options import Params, Transport
from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.message import Frame

_SCHEMES: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_SUFFIXES: Final = ("/websocket", "/longpoll")
MAX_PARAM_LEVELS: Final = 16


class ConnectionLostError(Exception):
    """A connection has ended; only the client itself sees it.

    Attributes:
        code: the close code, 1006 if there was none.
        reason: for log lines.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class Connection(Protocol):
    """One websocket, or one long-poll session."""

    @property
    def has_heartbeats(self) -> bool:
        """Whether the client must send heartbeats."""

    @property
    def max_batch(self) -> int:
        """How many frames `send` takes at once."""

    async def receive(self) -> tuple[bytes, bool]:
        """Wait for the next frame; the second value tells whether it is binary.

        Raises:
            ConnectionLostError: the connection has ended.
        """

    async def send(self, frames: Sequence[Frame]) -> None:
        """Send frames in order. Raises ConnectionLostError."""

    async def close(self, code: int, reason: str) -> None:
        """End the connection; this takes a second at most."""


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """The URL of a socket as the app gave it, without its transport.

    Attributes:
        text: scheme, host and path, for people; the query may contain credentials.
    """

    base: str
    query: str
    text: str

    @classmethod
    def parse(cls, url: object) -> SocketAddress:
        """Read `ws://host/socket`, with or without `/websocket`. Raises ConfigError."""
        if not isinstance(url, str):
            raise ConfigError("Client: url must be a string, such as ws://localhost:4000/socket")
        try:
            parts = urlsplit(url)
            is_good = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:  # the port is not a number, or too large
            parts, is_good = urlsplit(""), False
        if not is_good:
            shown = brief(url.partition("?")[0].rpartition("@")[2], 80)
            raise ConfigError(
                "Client: url must be the URL of a socket, such as ws://localhost:4000/socket or"
                f" wss://example.com/socket, not {shown}"
            )
        path = parts.path.rstrip("/")
        for suffix in _SUFFIXES:
            path = path.removesuffix(suffix)
        host = parts.netloc.rpartition("@")[2]
        return cls(
            f"{_SCHEMES[parts.scheme]}://{parts.netloc}{path}",
            parts.query,
            f"{parts.scheme}://{host}{path}",
        )

    def url(self, transport: Transport, params: Params, vsn: str, token: str | None = None) -> URL:
        """The address of a request.

        Source: phoenix.js 1.8, socket.js, endPointURL; longpoll.js, endpointURL.
        """
        pairs = [*encode_params(params), f"vsn={vsn}"]
        if token is not None:
            pairs.append(f"token={quote(token, safe='')}")
        query = "&".join([self.query, *pairs] if self.query else pairs)
        return URL(f"{self.base}/{transport}?{query}", encoded=True)


def encode_params(params: Params) -> Iterator[str]:
    """Write params as `name=value`, nested ones as `user[name]=value` and `ids[]=value`.

    Differs from phoenix.js: it writes lists as `ids[0]=value`, which Phoenix reads as a map, and a
    null as an empty segment; here None is left out.

    Raises:
        ConfigError: the params are no mapping, or nested too deep.

    Source: phoenix.js 1.8, ajax.js, serialize.
    """
    if not isinstance(params, Mapping):
        raise ConfigError('Client: params must be a dict, such as {"token": "…"}')
    for name, value in params.items():
        yield from _encode_param(quote(str(name), safe=""), value, 1)


def _encode_param(name: str, value: Any, level: int) -> Iterator[str]:
    if level > MAX_PARAM_LEVELS:
        raise ConfigError(f"Client: params are nested more than {MAX_PARAM_LEVELS} levels deep")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _encode_param(f"{name}[{quote(str(key), safe='')}]", inner, level + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _encode_param(f"{name}[]", inner, level + 1)
    elif value is not None:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield f"{name}={quote(text, safe='')}"
