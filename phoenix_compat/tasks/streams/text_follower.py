"""Follows the streams of running predictions that write a text.

Polls go on beside the stream. What a poll shows is added too, so a stream that is slow, broken or
refused costs time and nothing else; a stream that contradicts a poll is not followed any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from phoenix_compat.background import log_failure
from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.errors import StreamBrokenError, StreamRefusedError
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.model.task import TaskId
from phoenix_compat.tasks.streams.output_sink import OutputSink
from phoenix_compat.tasks.streams.server_sent_events import ServerSentEvent
from phoenix_compat.tasks.streams.written_text import WrittenText

OpenStream: TypeAlias = Callable[[PredictionRef, str | None], AsyncGenerator[ServerSentEvent]]
"""`Provider.stream`."""

_LONG_S: Final = 20.0
"""A connection that lasted so long without an event was idle, and not refused."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How streams are followed.

    Attributes:
        max_open: streams that are followed at once; further texts are only polled.
        max_failures: after this many connections in a row without an event, a stream is given up.
        max_connections: the limit of connections for one prediction.
        retry_first_s: the wait before the next connection; it doubles with each one without an
            event, up to `retry_limit_s`.
    """

    max_open: int = 64
    max_failures: int = 6
    max_connections: int = 200
    retry_first_s: float = 0.25
    retry_limit_s: float = 10.0

    def wait_s(self, failures: int) -> float:
        """The wait after this many connections in a row without an event, in seconds."""
        return min(self.retry_first_s * 2.0 ** min(failures, 30), self.retry_limit_s)


class TextStreams:
    """The streams of one worker.

    Attributes:
        open: how many are followed.
        counts: `streams` that were begun, `streams_over_limit` that were not, `stream_breaks`,
            `streams_refused` that could not be used, and `stream_conflicts` with a poll.
    """

    def __init__(
        self,
        open_stream: OpenStream,
        sink: OutputSink,
        clock: Clock,
        options: StreamOptions,
        counts: Counter[str],
    ) -> None:
        self.open = 0
        self.counts = counts
        self.open_stream = open_stream
        self.sink = sink
        self.clock = clock
        self.options = options

    def follower(
        self, task_id: TaskId, prediction_id: str, on_end: Callable[[], None]
    ) -> TextFollower:
        """A follower for the text of one prediction; it does nothing yet.

        Args:
            on_end: called when the stream says that the prediction has ended.
        """
        return TextFollower(self, task_id, prediction_id, on_end)


class TextFollower:
    """The text of one prediction, from its stream and from polls.

    Attributes:
        text: what is known of it.
    """

    def __init__(
        self, streams: TextStreams, task_id: TaskId, prediction_id: str, on_end: Callable[[], None]
    ) -> None:
        self.text = WrittenText(prediction_id)
        self._streams = streams
        self._task_id = task_id
        self._on_end = on_end
        self._is_begun = False
        self._following: asyncio.Task[None] | None = None
        self._events = 0
        self._position = 0
        self._first_id: str | None = None
        self._last_id: str | None = None

    def begin(self, ref: PredictionRef) -> None:
        """Follow the prediction's stream, if it has one and too many are not open already.

        Calls after the first one that has an address do nothing.
        """
        if self._is_begun or ref.stream_url is None:
            return
        self._is_begun = True
        streams = self._streams
        if streams.open >= streams.options.max_open:
            streams.counts["streams_over_limit"] += 1
            log.warning("stream.over_limit", task_id=self._task_id, open=streams.open)
            return
        streams.open += 1
        streams.counts["streams"] += 1
        self._following = asyncio.create_task(self._follow(ref), name=f"stream-{self._task_id}")
        self._following.add_done_callback(self._ended)

    def correct(self, whole: str, *, is_final: bool = False) -> None:
        """Take over what a poll, or the result, shows of the text.

        Args:
            is_final: whether the prediction has ended, so that nothing follows.
        """
        before = (self.text.version, self.text.chars)
        if not self.text.correct(whole, is_final=is_final):
            self._streams.counts["stream_conflicts"] += 1
            log.warning("stream.conflict", task_id=self._task_id)
            if self._following is not None:
                self._following.cancel()
        if (self.text.version, self.text.chars) != before:
            self._streams.sink.announce_text(self._task_id, self.text)

    async def close(self) -> None:
        """Close the stream."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def _ended(self, following: asyncio.Task[None]) -> None:
        self._streams.open -= 1
        log_failure(following)

    async def _follow(self, ref: PredictionRef) -> None:
        options, clock = self._streams.options, self._streams.clock
        failures = 0
        for _ in range(options.max_connections):
            events, began_s = self._events, clock.monotonic()
            try:
                await self._read(ref)
            except StreamRefusedError as error:
                self._streams.counts["streams_refused"] += 1
                log.warning("stream.refused", task_id=self._task_id, reason=str(error))
                return
            except StreamBrokenError as error:
                self._streams.counts["stream_breaks"] += 1
                log.info("stream.broken", task_id=self._task_id, reason=str(error))
            else:
                return
            is_progress = self._events > events or clock.monotonic() - began_s >= _LONG_S
            failures = 0 if is_progress else failures + 1
            if failures >= options.max_failures:
                break
            await clock.wait(asyncio.Event(), options.wait_s(failures))
        log.warning("stream.given_up", task_id=self._task_id)

    async def _read(self, ref: PredictionRef) -> None:
        """Read one connection until the prediction has ended, or nothing more is wanted.

        Raises:
            StreamBrokenError, StreamRefusedError: it ended earlier.
        """
        if self._last_id is None:
            self._position = 0  # nothing to resume after: everything comes again
        async with aclosing(self._streams.open_stream(ref, self._last_id)) as events:
            async for event in events:
                if event.event == "done":
                    self._on_end()
                    return
                if event.event == "error":
                    # It is about the prediction, or only about the stream; the next poll tells.
                    self._on_end()
                    raise StreamRefusedError("the stream sent an error")
                if event.event == "output" and not self._take(event):
                    return

    def _take(self, event: ServerSentEvent) -> bool:
        """Add the text of an event; returns whether more is wanted."""
        self._events += 1
        if event.id is not None:
            if event.id == self._last_id:
                return True
            if event.id == self._first_id:
                self._position = 0  # the provider begins again, whatever we know
            self._first_id = self._first_id or event.id
            self._last_id = event.id
        before = self.text.chars
        if not self.text.write(self._position, event.data):
            self._streams.counts["stream_conflicts"] += 1
            raise StreamRefusedError("the stream contradicts the prediction's output")
        self._position += len(event.data)
        if self.text.chars != before:
            self._streams.sink.announce_text(self._task_id, self.text)
        return not self.text.is_full
