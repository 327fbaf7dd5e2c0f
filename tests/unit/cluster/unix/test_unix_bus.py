"""The bus: order, gaps, nodes that start and end, calls, roles."""

from __future__ import annotations

import asyncio
import gc
from contextlib import closing
from pathlib import Path

import pytest

from phoenix_compat.cluster.bus import CallError
from phoenix_compat.cluster.unix import UnixBus
from phoenix_compat.cluster.unix.frames import Cast, Hello, pack
from phoenix_compat.cluster.unix.receiver import bound_unix_socket
from tests.patience import patient
from tests.unit.cluster.harness import KIND, RecordingListener, folder, nodes

__all__ = ["folder"]


async def test_casts_reach_all_others_in_order(folder: Path) -> None:
    """Each other node gets every cast once and in order; the sender gets none."""
    async with nodes(folder, 3) as (one, two, three):
        for number in range(500):
            one.bus.cast(KIND, b"%d" % number)

        expected = [(0, b"%d" % number) for number in range(500)]
        assert await two.next_many(500) == expected
        assert await three.next_many(500) == expected
        assert one.is_empty


async def test_a_node_that_ends_is_down_and_its_successor_is_up(folder: Path) -> None:
    """The end of a stream means that a node has ended; its successor is a new node."""
    async with UnixBus(folder, 0, 2) as bus:
        listener = RecordingListener(bus)
        async with UnixBus(folder, 1, 2):
            assert await listener.next() == ("up", 1)
        assert await listener.next() == ("down", 1)
        assert bus.up == frozenset()

        async with UnixBus(folder, 1, 2) as again:
            assert await listener.next() == ("up", 1)
            again.cast(KIND, b"hello")
            assert await listener.next() == (1, b"hello")


async def test_a_full_queue_drops_casts_and_reports_a_gap(folder: Path) -> None:
    """A node that does not read misses casts, and gets a gap event even if no cast follows."""
    async with nodes(folder, max_queue_bytes=100_000) as (one, two):
        sent = 4_000
        for number in range(sent):  # in one tick: the other node cannot read meanwhile
            one.bus.cast(KIND, b"%d" % number * 100)

        heard = [await two.next()]
        while heard[-1] != ("gap", 0):
            heard.append(await two.next())

        casts = heard[:-1]
        assert casts == [(0, b"%d" % number * 100) for number in range(len(casts))]
        assert one.bus.counts.dropped == sent - len(casts) > 0
        assert two.bus.counts.gaps == 1
        one.bus.cast(KIND, b"later")
        assert await two.next() == (0, b"later")


async def test_a_cast_that_is_too_large_is_a_gap(folder: Path) -> None:
    """A cast over the limit is dropped, and later casts arrive."""
    async with nodes(folder, max_queue_bytes=1_000) as (one, two):
        one.bus.cast(KIND, b"x" * 1_001)
        one.bus.cast(KIND, b"small")

        assert await two.next_many(2) == [("gap", 0), (0, b"small")]


async def test_the_reply_to_a_call_follows_earlier_casts(folder: Path) -> None:
    """The reply arrives after earlier casts and before later ones."""
    async with nodes(folder) as (one, two):
        heard: list[bytes] = []
        one.bus.on_cast("order", lambda _node, body: heard.append(body))

        async def answer(_node: int, body: bytes) -> bytes:
            two.bus.cast("order", b"before")
            asyncio.get_running_loop().call_soon(two.bus.cast, "order", b"after")
            return body.upper()

        two.bus.on_call("shout", answer)

        def take(body: bytes) -> int:
            heard.append(body)
            return len(body)

        length = await one.bus.call(1, "shout", b"hey", on_reply=take)

        two.bus.cast(KIND, b"the end")
        assert await one.next() == (1, b"the end")
        assert heard == [b"before", b"HEY", b"after"]
        assert length == 3


async def test_a_failed_call_has_a_reason(folder: Path) -> None:
    """A missing node, a missing handler, a failed handler and silence are all CallErrors."""
    async with nodes(folder, 3, call_timeout_s=0.2) as (one, two, three):

        async def sleep(_node: int, _body: bytes) -> bytes:
            await asyncio.Event().wait()
            return b""

        async def refuse(_node: int, _body: bytes) -> bytes:
            raise CallError("not today")

        two.bus.on_call("sleep", sleep)
        two.bus.on_call("refuse", refuse)
        for kind, why in (
            ("what", "no handler"),
            ("sleep", "did not reply"),
            ("refuse", "not today"),
        ):
            with pytest.raises(CallError, match=why):
                await one.bus.call(1, kind, on_reply=bytes)
        asking = asyncio.create_task(three.bus.call(1, "sleep", on_reply=bytes))
        await asyncio.sleep(0)
        await two.bus.__aexit__()
        with pytest.raises(CallError, match="node 1"):
            await asking


async def test_a_role_is_known_to_all_until_its_node_ends(folder: Path) -> None:
    """All nodes learn that a role was taken, dropped, or lost with its node; so do new nodes."""
    async with UnixBus(folder, 0, 2) as bus:
        listener = RecordingListener(bus)
        async with UnixBus(folder, 1, 2) as other:
            other.take_role("cook")
            assert await listener.next_many(2) == [("up", 1), ("role", 1, 1)]
            other.drop_role("cook")
            assert await listener.next() == ("role", 1, None)
            other.take_role("cook")
            assert await listener.next() == ("role", 1, 1)
        assert await listener.next_many(2) == [("down", 1), ("role", 1, None)]
        bus.take_role("cook")
        assert await listener.next() == ("role", 0, 0)


async def test_a_late_listener_gets_the_current_state(folder: Path) -> None:
    """A new listener is called at once for the nodes that are up, and for their roles."""
    async with nodes(folder) as (one, two):
        two.bus.take_role("cook")
        assert await one.next() == ("role", 1, 1)

        late = RecordingListener(one.bus)

        assert await late.next_many(2) == [("up", 1), ("role", 1, 1)]


async def test_a_failed_handler_does_not_affect_later_casts(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged, and the next cast is handled."""
    async with nodes(folder) as (one, two):

        def fail(_node: int, _body: bytes) -> None:
            raise ZeroDivisionError

        two.bus.on_cast("bad", fail)
        one.bus.cast("bad", b"")
        one.bus.cast(KIND, b"good")

        assert await two.next() == (0, b"good")
    assert "'bad'" in caplog.text


@pytest.mark.parametrize("stream", [b"GET / HTTP/1.1\r\n\r\n", pack(Cast(1, KIND, b""))])
async def test_invalid_streams_are_closed(folder: Path, stream: bytes) -> None:
    """Invalid frames, and casts before a Hello, close only that stream."""
    async with nodes(folder) as (one, two):
        reader, writer = await asyncio.open_unix_connection(folder / "0.bus")
        writer.write(stream)

        assert await reader.read() == b""
        writer.close()
        two.bus.cast(KIND, b"still here")
        assert await one.next() == (1, b"still here")
        assert one.bus.counts.broken == 1


async def test_a_lost_stream_is_reported_and_reopened(folder: Path) -> None:
    """If a stream breaks while its node lives, the node is down and then up again."""
    async with nodes(folder) as (one, two):
        assert isinstance(two.bus, UnixBus)
        [receiver] = two.bus._receivers

        receiver.abort()

        assert await two.next_many(2) == [("down", 0), ("up", 0)]
        one.bus.cast(KIND, b"again")
        assert await two.next() == (0, b"again")


async def test_a_socket_of_a_dead_process_is_replaced(folder: Path) -> None:
    """The socket file of a killed process does not prevent the next start."""
    (await asyncio.to_thread(bound_unix_socket, folder / "0.bus")).close()

    async with nodes(folder) as (one, two):
        one.bus.cast(KIND, b"here")

        assert await two.next() == (0, b"here")


async def test_who_has_caught_up_is_heard_by_all_and_hears_all(folder: Path) -> None:
    """From then on no cast is missed, either way; who is alone does not wait."""
    async with UnixBus(folder, 0, 3) as bus:
        assert await bus.catch_up(patient(5.0))
        here = RecordingListener(bus)

        async with UnixBus(folder, 1, 3) as other:
            assert await other.catch_up(patient(5.0))
            there = RecordingListener(other)
            bus.cast(KIND, b"to the new one")
            other.cast(KIND, b"from the new one")

            assert await there.next_many(2) == [("up", 0), (0, b"to the new one")]
            assert await here.next_many(2) == [("up", 1), (1, b"from the new one")]


async def test_a_node_that_says_nothing_is_waited_for_so_long(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that takes the stream and is stopped: the start goes on without it, and says so."""
    with closing(await asyncio.to_thread(bound_unix_socket, folder / "1.bus")) as silent:
        silent.listen()
        async with UnixBus(folder, 0, 2) as bus:
            assert not await bus.catch_up(0.01)

            assert bus.counts.late == 1
            assert "not up: [1]" in caplog.text


async def test_a_node_that_dies_is_not_waited_for(folder: Path) -> None:
    """It took the stream and is gone before it said anything."""
    with closing(await asyncio.to_thread(bound_unix_socket, folder / "1.bus")) as dying:
        dying.listen()
        async with UnixBus(folder, 0, 2) as bus:
            waiting = asyncio.create_task(bus.catch_up(patient(30.0)))
            stream, _ = await asyncio.get_running_loop().sock_accept(dying)
            await asyncio.to_thread((folder / "1.bus").unlink)

            stream.close()

            assert await waiting
            assert bus.counts.late == 0


async def test_a_call_to_a_node_that_goes_before_it_is_reached_fails_at_once(folder: Path) -> None:
    """E8: the end of a node whose stream is not up yet ends the call, and nothing is logged."""
    unretrieved: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: unretrieved.append(context))
    async with UnixBus(folder, 0, 2, call_timeout_s=patient(60.0)) as bus:
        listener = RecordingListener(bus)
        _, writer = await asyncio.open_unix_connection(str(folder / "0.bus"))
        writer.write(pack(Hello(1, 1, 0, ())))
        assert await listener.next() == ("up", 1)
        call = asyncio.create_task(bus.call(1, "ask", on_reply=bytes))
        impatient = asyncio.create_task(bus.call(1, "ask", on_reply=bytes))
        await asyncio.sleep(0)

        writer.close()
        assert await listener.next() == ("down", 1)
        impatient.cancel()

        with pytest.raises(CallError, match="has ended"):
            await call
        with pytest.raises(asyncio.CancelledError):
            await impatient
    await asyncio.to_thread(gc.collect)
    assert unretrieved == []
