"""Following the stream of a text, with a provider whose connections are prepared."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.model.errors import StreamBrokenError, StreamRefusedError
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.model.task import JSONObject, TaskId
from phoenix_compat.tasks.streams.server_sent_events import (
    EventParser,
    InvalidEventError,
    ServerSentEvent,
)
from phoenix_compat.tasks.streams.text_follower import StreamOptions, TextFollower, TextStreams
from phoenix_compat.tasks.streams.written_text import WrittenText
from tests.integration.worker.fake_provider import FakeClock
from tests.patience import patient

REF = PredictionRef("p-1", "https://stream.replicate.com/p-1")
CHUNKS = ("Once", " upon", "\n", "", "\U0001f9d1\u200d\U0001f373", " a", " a", " time")
TEXT = "".join(CHUNKS)
RECORDED = (
    b"".join(
        f"event: output\nid: 1:{number}\n".encode()
        + b"".join(f"data: {line}\n".encode() for line in chunk.split("\n"))
        + b"\n"
        for number, chunk in enumerate(CHUNKS)
    )
    + b"event: done\ndata: {}\n\n"
)


class Scene:
    """A follower, and a provider that sends its prepared connections one after the other.

    The last one is repeated. A connection is bytes, or an error that is raised at once.

    Attributes:
        asked: the last event id of each connection.
        shown: the text after each change.
        ends: how often the stream said that the prediction has ended.
    """

    def __init__(
        self, *connections: bytes | Exception, resumes: bool = False, **options: int
    ) -> None:
        self.asked: list[str | None] = []
        self.shown: list[str] = []
        self.ends = 0
        self.counts: Counter[str] = Counter()
        self._connections = list(connections)
        self._resumes = resumes
        self.streams = TextStreams(
            self._open, self, FakeClock(), StreamOptions(**options), self.counts
        )

    def follower(self) -> TextFollower:
        """A follower that does nothing yet."""
        return self.streams.follower(TaskId("t-1"), REF.id, self._end)

    async def follow(self, follower: TextFollower | None = None) -> str:
        """Follow the stream until it is over; returns the text."""
        follower = follower or self.follower()
        follower.begin(REF)
        async with asyncio.timeout(patient(10.0)):
            while self.streams.open:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        return follower.text.text

    def announce_text(self, task_id: TaskId, text: WrittenText) -> None:
        """See OutputSink."""
        assert task_id == "t-1"
        self.shown.append(text.text)

    def announce_files(
        self, task_id: TaskId, prediction_id: str, files: Sequence[JSONObject]
    ) -> None:
        """See OutputSink."""
        raise AssertionError(task_id)

    def _end(self) -> None:
        self.ends += 1

    async def _open(
        self, ref: PredictionRef, after: str | None
    ) -> AsyncGenerator[ServerSentEvent, None]:
        assert ref is REF
        self.asked.append(after)
        data = self._connections.pop(0) if len(self._connections) > 1 else self._connections[0]
        if isinstance(data, Exception):
            raise data
        if self._resumes and after is not None:
            data = after_event(data, after)
        parser = EventParser()
        try:
            for start in range(0, len(data), 7):
                for event in parser.feed(data[start : start + 7]):
                    yield event
        except InvalidEventError as error:
            raise StreamRefusedError(str(error)) from error
        raise StreamBrokenError("the stream ended")


def after_event(data: bytes, event_id: str) -> bytes:
    """What follows an event in a stream."""
    mark = f"id: {event_id}\n".encode()
    return data.partition(mark)[2].partition(b"\n\n")[2] if mark in data else data


async def test_a_stream_becomes_a_text() -> None:
    """Each event adds to it, and its end asks for a poll."""
    scene = Scene(RECORDED)

    assert await scene.follow() == TEXT
    assert scene.ends == 1
    assert scene.shown == ["".join(CHUNKS[:count]) for count in (1, 2, 3, 5, 6, 7, 8)]
    assert scene.counts == {"streams": 1}


@pytest.mark.parametrize("resumes", [True, False])
async def test_a_stream_may_be_cut_at_every_byte(*, resumes: bool) -> None:
    """The next connection continues, or begins again; the text is never a wrong one."""
    for cut in range(len(RECORDED)):
        scene = Scene(RECORDED[:cut], RECORDED, resumes=resumes)

        assert await scene.follow() == TEXT, cut
        assert all(TEXT.startswith(shown) for shown in scene.shown)
        assert scene.counts["stream_breaks"] == 1
        assert scene.counts["stream_conflicts"] == 0


async def test_the_next_connection_resumes_after_the_last_event() -> None:
    """With its id; without any event it begins at the start."""
    cut = RECORDED.index(b"id: 1:3")

    scene = Scene(RECORDED[:5], RECORDED[:cut], RECORDED, resumes=True)

    assert await scene.follow() == TEXT
    assert scene.asked == [None, None, "1:2"]


async def test_a_stream_without_ids_begins_again() -> None:
    """There is nothing to resume after, so everything comes again."""
    stream = b"".join(line + b"\n" for line in RECORDED.split(b"\n") if b"id: " not in line)

    scene = Scene(stream[:90], stream)

    assert await scene.follow() == TEXT
    assert scene.asked == [None, None]


@pytest.mark.parametrize(
    "broken",
    [
        RECORDED.replace(b"data:  upon", b"data: \xff"),
        RECORDED.replace(b"event: output\nid: 1:2", b"event: error\nid: 1:2"),
        StreamRefusedError("404"),
    ],
)
async def test_a_stream_that_cannot_be_used_is_left(broken: bytes | Exception) -> None:
    """There is no second connection; polls complete the text."""
    scene = Scene(broken)
    follower = scene.follower()

    assert TEXT.startswith(await scene.follow(follower))
    follower.correct(TEXT)

    assert len(scene.asked) == 1
    assert scene.counts["streams_refused"] == 1
    assert scene.shown[-1] == TEXT


async def test_a_stream_that_never_begins_is_given_up() -> None:
    """After a number of connections without an event."""
    scene = Scene(StreamBrokenError("500"), max_failures=4)

    assert await scene.follow() == ""
    assert scene.counts["stream_breaks"] == 4


async def test_a_stream_has_a_limited_number_of_connections() -> None:
    """Whatever comes of them."""
    scene = Scene(RECORDED[:60], max_connections=9)

    assert await scene.follow() == "Once"
    assert len(scene.asked) == 9


async def test_a_stream_that_contradicts_a_poll_is_left() -> None:
    """The poll counts, whichever comes first."""
    lost = after_event(RECORDED, "1:2")
    scene = Scene(RECORDED[: RECORDED.index(b"event: output\nid: 1:2")] + lost)
    follower = scene.follower()
    follower.correct("".join(CHUNKS[:6]))

    assert await scene.follow(follower) == "".join(CHUNKS[:6])
    assert scene.counts["stream_conflicts"] == 1

    later = Scene(RECORDED.replace(b" upon", b" in"))
    follower = later.follower()
    await later.follow(follower)
    follower.correct(TEXT, is_final=True)
    assert follower.text.text == TEXT
    assert later.counts["stream_conflicts"] == 1


async def test_too_many_streams_are_not_begun() -> None:
    """The text comes from polls then; so does that of a prediction without a stream."""
    scene = Scene(RECORDED, max_open=0)
    follower = scene.follower()
    follower.begin(PredictionRef("p-1"))

    assert await scene.follow(follower) == ""
    assert scene.counts == {"streams_over_limit": 1}
    follower.correct("Once")
    assert scene.shown == ["Once"]


async def test_a_stream_is_closed_with_its_task() -> None:
    """Nothing is left open, and nothing is announced afterwards."""
    scene = Scene(StreamBrokenError("500"), max_failures=1_000, max_connections=10**6)
    follower = scene.follower()
    follower.begin(REF)
    await asyncio.sleep(0)

    await follower.close()

    assert scene.streams.open == 0
    assert scene.shown == []


@given(
    cuts=st.lists(st.integers(0, len(RECORDED)), max_size=5),
    polls=st.lists(st.integers(0, len(TEXT)), max_size=4),
    resumes=st.booleans(),
)
def test_no_client_has_a_wrong_text(cuts: list[int], polls: list[int], *, resumes: bool) -> None:
    """Whatever the cuts and polls: each text shown is a beginning of the whole, and then it is."""

    async def run() -> None:
        scene = Scene(*(RECORDED[:cut] for cut in cuts), RECORDED, resumes=resumes)
        follower = scene.follower()
        follower.begin(REF)
        for chars in polls:
            follower.correct(TEXT[:chars])
            await asyncio.sleep(0)
        await scene.follow(follower)
        follower.correct(TEXT, is_final=True)
        assert follower.text.text == TEXT
        assert all(TEXT.startswith(shown) for shown in scene.shown)
        lengths = [len(shown) for shown in scene.shown]
        assert lengths == sorted(lengths)
        await follower.close()

    asyncio.run(run())
