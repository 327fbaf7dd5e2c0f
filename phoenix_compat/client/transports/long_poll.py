"""The long-poll transport: a poll that waits for messages, and POSTs that send them.

Source: phoenix.js 1.8, longpoll.js.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from phoenix_compat.client.errors import ConnectError
from phoenix_compat.client.options import Params, Vsn
from phoenix_compat.client.transports.connection import ConnectionLostError, SocketAddress
from phoenix_compat.client.transports.websocket import reason_of
from phoenix_compat.protocol.message import BinaryFrame, Frame

MAX_BATCH: Final = 100
"""How many messages a server reads from one POST."""
SESSION_GONE: Final = 3410
_INTERNAL_ERROR: Final = 1011
_TIMEOUT: Final = 1005
_AUTH_TOKEN_HEADER: Final = "X-Phoenix-AuthToken"  # noqa: S105 - not a secret
_MAX_KIND: Final = "\x02"


class _Answer(msgspec.Struct, gc=False):
    status: int
    token: str | None = None
    messages: list[str] = []


_ANSWER: Final = msgspec.json.Decoder(_Answer)


class LongPollConnection:
    """One long-poll session. It has no heartbeats: the polls keep it alive."""

    __slots__ = (
        *("_address", "_auth_token", "_max_bytes", "_params", "_received", "_session"),
        *("_timeout", "_token", "_vsn"),
    )

    has_heartbeats = False

    def __init__(  # noqa: PLR0913 - what its requests consist of
        self,
        session: aiohttp.ClientSession,
        address: SocketAddress,
        *,
        params: Params,
        vsn: Vsn,
        auth_token: str | None,
        timeout_s: float,
        max_message_bytes: int,
    ) -> None:
        self._session = session
        self._address = address
        self._params = params
        self._vsn: Vsn = vsn
        self._auth_token = auth_token
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._max_bytes = max_message_bytes
        self._token: str | None = None
        self._received: deque[str] = deque()

    @property
    def max_batch(self) -> int:
        """See Connection; in V1 each POST has one message."""
        return MAX_BATCH if self._vsn == "2.0.0" else 1

    async def open(self) -> None:
        """Begin a session. Raises ConnectError."""
        try:
            answer = await self._poll()
        except ConnectionLostError as lost:
            raise ConnectError(self._address.text, lost.reason) from None
        if answer.status != 410 or not answer.token:
            reason = f"the server answers the first poll with status {answer.status}"
            raise ConnectError(self._address.text, reason, answer.status)
        self._token = answer.token

    async def receive(self) -> tuple[bytes, bool]:
        """See Connection."""
        while not self._received:
            answer = await self._poll()
            if answer.status == 410:
                raise ConnectionLostError(SESSION_GONE, "the long-poll session is gone")
            if answer.status not in {200, 204}:
                raise ConnectionLostError(_INTERNAL_ERROR, f"a poll got status {answer.status}")
            self._token = answer.token or self._token
            self._received.extend(answer.messages)
        text = self._received.popleft()
        # A binary frame comes as the text that has its bytes, if it is UTF-8.
        return text.encode(), self._vsn == "2.0.0" and text[:1] <= _MAX_KIND

    async def send(self, frames: Sequence[Frame]) -> None:
        """See Connection."""
        if self._vsn == "2.0.0":
            body, content_type = b"\n".join(map(_line, frames)), "application/x-ndjson"
        else:
            body, content_type = b"".join(frames), "application/json"
        answer = await self._request("POST", body, {"Content-Type": content_type})
        if answer.status != 200:
            raise ConnectionLostError(_INTERNAL_ERROR, f"a POST got status {answer.status}")

    async def close(self, code: int, reason: str) -> None:
        """See Connection; a server finds out by itself that nobody polls any more."""
        del code, reason
        self._received.clear()

    async def _poll(self) -> _Answer:
        headers = {"Accept": "application/json"}
        if self._auth_token is not None:
            headers[_AUTH_TOKEN_HEADER] = self._auth_token
        return await self._request("GET", None, headers)

    async def _request(self, method: str, body: bytes | None, headers: dict[str, str]) -> _Answer:
        try:
            async with self._session.request(
                method, self._url(), data=body, headers=headers, timeout=self._timeout
            ) as response:
                return self._decode(response.status, await self._read(response))
        except TimeoutError as error:
            raise ConnectionLostError(_TIMEOUT, "a long-poll request timed out") from error
        except (OSError, UnicodeError, aiohttp.ClientError) as error:
            raise ConnectionLostError(_INTERNAL_ERROR, reason_of(error)) from None

    def _decode(self, status: int, data: bytes) -> _Answer:
        """The answer in a body; a server that has failed, or a proxy, sends something else."""
        try:
            return _ANSWER.decode(data)
        except (msgspec.DecodeError, ValueError):
            if status == 200:
                reason = "the server's answer is not that of a Phoenix long-poll"
                raise ConnectionLostError(_INTERNAL_ERROR, reason) from None
            return _Answer(status)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body; one poll may bring many messages, so it may be larger than each of them."""
        data = bytearray()
        async for chunk in response.content.iter_any():
            data += chunk
            if len(data) > 2 * self._max_bytes:
                raise ConnectionLostError(_INTERNAL_ERROR, "the answer to a poll is too large")
        return bytes(data)

    def _url(self) -> URL:
        return self._address.url("longpoll", self._params, self._vsn, self._token)


def _line(frame: Frame) -> bytes:
    return base64.b64encode(frame) if isinstance(frame, BinaryFrame) else frame


async def open_long_poll(*arguments: Any, **options: Any) -> LongPollConnection:
    """Begin a session with the arguments of LongPollConnection. Raises ConnectError."""
    connection = LongPollConnection(*arguments, **options)
    await connection.open()
    return connection
