"""Shows the messages of one client as they pass, with what is wrong with them.

Off until somebody looks: the first look begins to watch the client, and when nobody has looked for
LEASE_S the watch ends. What is kept is bounded: MAX_FRAMES of them, with payloads cut and
credentials hidden.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Final, TypeAlias

import msgspec
import structlog

from phoenix_compat.bounded import bounded_copy, plain
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.protocol.serializer import V1
from phoenix_compat.redaction import FILTERED, is_credential, live_secrets
from phoenix_compat.result import Reason
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.runtime.watching import unwatch, watch
from phoenix_compat.server.inspection.operator_tools import FrameChecker
from phoenix_compat.server.inspection.processes import Processes
from phoenix_compat.server.inspection.sockets import UnknownSocketError, number_of

MAX_FRAMES: Final = 500
"""The most messages that are kept of one client; the oldest are dropped."""
MAX_WATCHED: Final = 4
"""The most clients that are watched at once in one process."""
LEASE_S: Final = 15.0
MAX_CHECKED_BYTES: Final = 8 * 2**20
"""The checker remembers all messages; after so many bytes it stops."""

_READ: Final = "frames.read"

log = structlog.stdlib.get_logger(__name__)

CheckFrames: TypeAlias = Callable[[bool], FrameChecker]
"""See OperatorTools.check_frames."""


class FrameQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose messages to show.

    Attributes:
        id: the client's id, as the list of clients shows it.
        after: the number of the last message that was shown.
    """

    id: str
    after: int = 0


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the protocol that a message breaks.

    Attributes:
        level: MUST or SHOULD.
        side: client or server: who breaks it.
    """

    rule: str
    level: str
    side: str
    text: str


class ShownFrame(msgspec.Struct, kw_only=True):
    """One message.

    Attributes:
        number: counts the messages since the watch began, from 1.
        from_client: whether the client has sent it.
        message: its parts, the payload cut and without credentials; null if it is not readable.
        size_bytes: its whole size.
        marks: what is wrong with it.
    """

    number: int
    at: str
    from_client: bool
    is_binary: bool
    message: Any
    size_bytes: int
    marks: list[Mark] = []


class FramePage(msgspec.Struct, frozen=True, kw_only=True):
    """The messages after a number, oldest first.

    Attributes:
        last: the number of the last message.
        is_checked: whether the rules are applied, still.
        ended: why the connection was closed; None while it is open.
        marked: earlier messages that were found to be wrong since.
    """

    frames: list[ShownFrame]
    last: int
    is_checked: bool
    ended: str | None = None
    marked: list[ShownFrame] = []


class _Asked(msgspec.Struct, frozen=True):
    number: int
    after: int


class TooManyWatchedError(PhoenixCompatError):
    """Other clients are being watched."""


_asked: Final = msgspec.json.Decoder(_Asked)
_json: Final = msgspec.json.Decoder()


class Frames:
    """The messages of clients of all processes.

    Args:
        check_frames: makes the checker; None shows messages without a check.
    """

    def __init__(
        self, endpoint: Endpoint, processes: Processes, check_frames: CheckFrames | None
    ) -> None:
        self._endpoint = endpoint
        self._processes = processes
        self._check_frames = check_frames
        self._watched: dict[int, _Watched] = {}
        processes.answer(_READ, self._answer_read)

    async def read(self, query: FrameQuery) -> bytes:
        """A FramePage as JSON; the first call begins to watch the client.

        Raises:
            UnknownSocketError: no client has this id, and none had lately.
            TooManyWatchedError: MAX_WATCHED others are watched in its process.
        """
        node, number = number_of(query.id)
        body = msgspec.json.encode(_Asked(number, query.after))
        return await self._processes.ask(node, _READ, body)

    # This process.

    async def _answer_read(self, body: bytes) -> bytes:
        asked = _asked.decode(body)
        watched = self._watched.get(asked.number) or self._begin(asked.number)
        watched.renew(partial(self._end, asked.number))
        return msgspec.json.encode(watched.page(asked.after))

    def _begin(self, number: int) -> _Watched:
        server = next((one for one in self._endpoint.clients if one.number == number), None)
        if server is None or server.closed_for is not None:
            raise UnknownSocketError("no client has this id; it may have disconnected")
        if len(self._watched) >= MAX_WATCHED:
            raise TooManyWatchedError(
                f"{MAX_WATCHED} clients are being watched already; close one of the others, and "
                f"wait {LEASE_S:g} s"
            )
        watched = self._watched[number] = _Watched(server, self._check_frames)
        log.info("socket.watched", client=f"{self._processes.node}-{number}")
        return watched

    def _end(self, number: int) -> None:
        self._watched.pop(number).stop()


class _Watched:
    """One client that is watched, and its last messages."""

    def __init__(self, server: SocketServer, check_frames: CheckFrames | None) -> None:
        self._server = server
        self._frames: deque[ShownFrame] = deque(maxlen=MAX_FRAMES)
        self._last = 0
        self._ended: str | None = None
        self._lease: asyncio.TimerHandle | None = None
        self._checked_bytes = 0
        self._is_v1 = server.outbox.wire.serializer is V1
        self._checker = None if check_frames is None else check_frames(self._is_v1)
        if self._checker is not None:
            for topic, channel in server.channels.items():
                self._checker.joined(topic, channel.join_ref, channel.socket.join_ref)
        watch(server, self)

    def renew(self, end: Callable[[], None]) -> None:
        """Go on for another LEASE_S."""
        if self._lease is not None:
            self._lease.cancel()
        self._lease = asyncio.get_running_loop().call_later(LEASE_S, end)

    def stop(self) -> None:
        """End the watch."""
        if self._ended is None:
            unwatch(self._server)

    def page(self, after: int) -> FramePage:
        """The messages with larger numbers."""
        first = self._last - len(self._frames) + 1
        start = max(after + 1 - first, 0)
        marked = self._mark()
        return FramePage(
            frames=list(islice(self._frames, start, None)),
            last=self._last,
            is_checked=self._checker is not None,
            ended=self._ended,
            marked=[frame for frame in marked if frame.number <= after],
        )

    def _mark(self) -> list[ShownFrame]:
        """Put what the checker has found to the messages; returns those that have new marks."""
        if self._checker is None:
            return []
        by_number = {frame.number: frame for frame in self._frames}
        marked: dict[int, ShownFrame] = {}
        for found in self._checker.found():
            frame = by_number.get(found.number)
            if frame is not None:
                mark = Mark(rule=found.rule, level=found.level, side=found.side, text=found.text)
                frame.marks = [*frame.marks, mark]
                marked[frame.number] = frame
        return list(marked.values())

    # runtime.watching.FrameTap.

    def received(self, frame: bytes, *, is_binary: bool) -> None:
        """See FrameTap."""
        self._take(frame, from_client=True, is_binary=is_binary)

    def sent(self, frame: bytes, *, is_binary: bool) -> None:
        """See FrameTap."""
        self._take(frame, from_client=False, is_binary=is_binary)

    def ended(self, reason: Reason) -> None:
        """See FrameTap."""
        self._ended = plain(reason[1] if isinstance(reason, tuple) else reason)

    def _take(self, frame: bytes, *, from_client: bool, is_binary: bool) -> None:
        self._last += 1
        try:
            self._frames.append(
                ShownFrame(
                    number=self._last,
                    at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                    from_client=from_client,
                    is_binary=is_binary,
                    message=None if is_binary else _shown(frame),
                    size_bytes=len(frame),
                )
            )
            self._check(frame, from_client=from_client, is_binary=is_binary)
        except Exception:  # a bug here must not end the client's connection
            log.exception("socket.watch_failed")
            self._checker = None

    def _check(self, frame: bytes, *, from_client: bool, is_binary: bool) -> None:
        if self._checker is None:
            return
        self._checked_bytes += len(frame)
        if self._checked_bytes > MAX_CHECKED_BYTES:
            self._checker = None
            return
        self._checker.take(
            self._last, time.monotonic(), frame, is_client=from_client, is_binary=is_binary
        )


def _shown(frame: bytes) -> Any:
    """The message of a text frame for people; a text that is not JSON is shown as it is, cut."""
    try:
        message = _json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return plain(live_secrets.redacted(frame[:2_000].decode("utf-8", "replace")))
    return _redacted(bounded_copy(message, is_credential, FILTERED))


def _redacted(value: Any) -> Any:
    """The value without secrets in its texts; it is bounded already."""
    if isinstance(value, dict):
        return {live_secrets.redacted(str(key)): _redacted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_redacted(inner) for inner in value]
    return live_secrets.redacted(value) if isinstance(value, str) else value
