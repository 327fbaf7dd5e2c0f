"""A long-poll session without HTTP: polls, posted messages, and its ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from phoenix_compat import Channel, Endpoint, Socket, ok, on
from phoenix_compat.protocol.serializer import V2
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.result import HandleResult, Result
from phoenix_compat.socket import ConnectInfo
from phoenix_compat.transports.session import NOT_TEXT, LongPollSession, LongPollWire
from tests.patience import patient
from tests.serving import EventLog, accepting

SHORT_S = 0.01
LONG_S = 30.0
JOIN = ["1", "1", "room:a", "phx_join", {}]


class Hub:
    """The hub of one session, with what its channels do."""

    def __init__(self) -> None:
        log = self.log = EventLog()
        go_on = self.go_on = asyncio.Event()

        class RoomChannel(Channel):
            async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
                if topic == "room:slow":
                    log.record("joining")
                    await go_on.wait()
                return ok()

            @on("echo")
            def echo(self, payload: Any, socket: Socket) -> HandleResult:
                return ok(payload)

            def terminate(self, reason: Any, socket: Socket) -> None:
                log.record(reason)

        self.endpoint = Endpoint()
        self.endpoint.socket("/socket", accepting({"room:*": RoomChannel}), longpoll=True)
        [self.mounted] = self.endpoint.sockets
        self.routes: TopicRoutes[Any] = self.mounted.routes
        self.polls: set[asyncio.Future[None]] = set()
        self.ended: list[LongPollSession] = []

    def session_ended(self, session: LongPollSession) -> None:
        """See session.Hub."""
        self.ended.append(session)

    async def session(self) -> LongPollSession:
        """A session of a client that speaks V2."""
        socket = await self.mounted.connect(
            self.endpoint, {}, ConnectInfo(), serializer=V2.name, transport="longpoll"
        )
        assert isinstance(socket, Socket)
        return LongPollSession(self, V2, socket, "name", "token")


async def post(session: LongPollSession, message: Any, window_s: float = LONG_S) -> bool:
    """Post one message."""
    data = json.dumps(message).encode()
    return await session.publish(data, is_binary=False, window_s=window_s)


def refs(frames: bytes) -> list[Any]:
    """The refs of the messages of a poll."""
    return [json.loads(text)[1] for text in json.loads(b"[%b]" % frames[:-1])]


async def waiting_poll(session: LongPollSession, hub: Hub, *how: Any) -> asyncio.Task[bytes]:
    """A poll that has found nothing and waits."""
    poll = asyncio.create_task(session.poll(*how))
    await asyncio.sleep(0)
    assert len(hub.polls) > 0
    return poll


async def test_a_poll_takes_what_came_before_it() -> None:
    """All at once, in order; the next one finds nothing within its window."""
    session = await Hub().session()
    await post(session, JOIN)
    await post(session, ["1", "2", "room:a", "echo", {}])

    first, second = await session.poll(LONG_S), await session.poll(SHORT_S)

    assert (refs(first), second) == (["1", "2"], b"")


async def test_a_poll_that_waits_is_woken() -> None:
    """It gets the frame at once, and the hub knows which polls wait."""
    hub = Hub()
    session = await hub.session()
    waiting = await waiting_poll(session, hub, LONG_S)

    await post(session, JOIN)

    assert refs(await asyncio.wait_for(waiting, patient(5.0))) == ["1"]
    assert hub.polls == set()


async def test_a_later_poll_replaces_one_that_waits() -> None:
    """The earlier one gets nothing, and takes nothing from the later one."""
    hub = Hub()
    session = await hub.session()
    earlier = await waiting_poll(session, hub, SHORT_S)
    later = await waiting_poll(session, hub, LONG_S)
    await asyncio.wait({earlier})

    await post(session, JOIN)

    assert earlier.result() == b""
    assert refs(await asyncio.wait_for(later, patient(5.0))) == ["1"]


async def test_who_is_gone_takes_nothing() -> None:
    """Neither before it waits nor after: the next poll gets the frames."""
    hub = Hub()
    session = await hub.session()
    answers = iter([False, True])
    waiting = await waiting_poll(session, hub, LONG_S, lambda: next(answers))
    await post(session, JOIN)

    assert await asyncio.wait_for(waiting, patient(5.0)) == b""
    assert await session.poll(LONG_S, lambda: True) == b""
    assert refs(await session.poll(LONG_S)) == ["1"]


async def test_each_poll_counts_as_one() -> None:
    """The start of the latest poll is noted, also of one whose client is gone."""
    session = await Hub().session()
    session.polled_at_s = -1.0

    await session.poll(SHORT_S, lambda: True)

    assert asyncio.get_running_loop().time() - session.polled_at_s < patient(5.0)


async def test_messages_behind_a_join_wait_for_it() -> None:
    """They are not handled within their window, but later, in order."""
    hub = Hub()
    session = await hub.session()
    joining = asyncio.create_task(post(session, ["1", "1", "room:slow", "phx_join", {}]))
    await hub.log.next()

    late = await post(session, ["1", "2", "room:slow", "echo", {}], SHORT_S)
    assert (late, session.has_channels, joining.done()) == (False, True, False)
    hub.go_on.set()

    assert await asyncio.wait_for(joining, patient(5.0)) is True
    assert refs(await session.poll(LONG_S)) == ["1", "2"]


async def test_an_unreadable_message_ends_the_session() -> None:
    """It counts as not handled; what comes later is not handled either."""
    hub = Hub()
    session = await hub.session()
    await post(session, JOIN)

    handled = await session.publish(b"{", is_binary=False, window_s=SHORT_S)

    assert (handled, hub.ended, session.is_drained) == (False, [session], False)
    assert await post(session, ["1", "3", "room:a", "echo", {}], SHORT_S) is False
    assert session.has_channels is False


async def test_a_session_ends_once() -> None:
    """Its channels end for the first reason."""
    hub = Hub()
    session = await hub.session()
    await post(session, JOIN)

    session.close(0, ("shutdown", "inactive"))
    session.close(0, ("shutdown", "closed"))
    session.drain()

    assert await hub.log.next() == ("shutdown", "inactive")
    assert (hub.ended, session.is_drained, hub.endpoint.counters.drained) == ([session], False, 0)


async def test_a_restart_answers_what_waits_behind_a_join() -> None:
    """At once, as not handled; no further message is taken."""
    hub = Hub()
    session = await hub.session()
    joining = asyncio.create_task(post(session, ["1", "1", "room:slow", "phx_join", {}]))
    await hub.log.next()
    behind = asyncio.create_task(post(session, ["1", "2", "room:slow", "echo", {}]))
    await asyncio.sleep(0)

    session.drain()

    assert await asyncio.wait_for(behind, patient(5.0)) is False
    assert (session.is_drained, hub.endpoint.counters.drained) == (True, 1)
    assert await post(session, JOIN) is False
    hub.go_on.set()
    await asyncio.wait_for(joining, patient(5.0))


async def test_a_session_that_is_not_polled_ends() -> None:
    """One with too many frames is closed soon, and counted."""
    hub = Hub()
    session = await hub.session()
    await post(session, JOIN)

    session.overflowed()
    before = list(hub.ended)
    await asyncio.sleep(0)

    assert (before, hub.ended) == ([], [session])
    assert hub.endpoint.counters.slow_clients_closed == 1
    assert await hub.log.next() == ("shutdown", "slow")


@pytest.mark.parametrize("text", ["é", '["1",{"a":"\\""}]', ""])
def test_a_frame_is_packed_as_text(text: str) -> None:
    """Frames are JSON strings with commas, so that together they are a list."""
    wire = Endpoint().wire(LongPollWire, V2)

    packet = wire.pack(text.encode())

    assert json.loads(b"[%b0]" % packet) == [text, 0]
    assert wire.unpack(packet) == text.encode()


def test_a_frame_that_is_not_text_has_a_place_only() -> None:
    """It cannot be sent over long-polling."""
    wire = Endpoint().wire(LongPollWire, V2)

    packet = wire.pack(b"\xff")

    assert packet == NOT_TEXT
    assert wire.unpack(packet) is None
