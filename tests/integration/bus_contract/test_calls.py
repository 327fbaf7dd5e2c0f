"""Calls: the reply follows all earlier casts; every failure has a reason."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat.cluster.bus import CallError
from tests.integration.bus_contract.engines import Engine
from tests.unit.cluster.harness import KIND


async def test_the_reply_to_a_call_follows_earlier_casts(engine: Engine) -> None:
    """The reply arrives after earlier casts and before later ones."""
    async with engine.nodes() as (one, two):
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

        length = await one.bus.call(two.bus.node, "shout", b"hey", on_reply=take)

        two.bus.cast(KIND, b"the end")
        assert await one.next() == (two.bus.node, b"the end")
        assert heard == [b"before", b"HEY", b"after"]
        assert length == 3


async def test_the_order_holds_while_both_nodes_are_busy(engine: Engine) -> None:
    """A copy that is made by calls and kept by casts is right at each moment."""
    async with engine.nodes() as (one, two):
        state: list[int] = []
        copy: list[int] = []
        two.bus.on_call("state", _answer_with(state))
        one.bus.on_cast("change", lambda _node, body: copy.append(int(body)))

        def take(body: bytes) -> None:
            known = [int(number) for number in body.split()]
            assert copy == known, "the copy was wrong before it was read again"

        for number in range(200):
            state.append(number)
            two.bus.cast("change", b"%d" % number)
            if number % 10 == 0:
                await one.bus.call(two.bus.node, "state", on_reply=take)


def _answer_with(state: list[int]) -> Any:
    async def answer(_node: int, _body: bytes) -> bytes:
        return b" ".join(b"%d" % number for number in state)

    return answer


async def test_a_failed_call_has_a_reason(engine: Engine) -> None:
    """A missing node, a missing handler, a failed handler and silence are all CallErrors."""
    async with engine.nodes(3, call_timeout_s=0.2) as (one, two, three):

        async def sleep(_node: int, _body: bytes) -> bytes:
            await asyncio.Event().wait()
            return b""

        async def refuse(_node: int, _body: bytes) -> bytes:
            raise CallError("not today")

        async def crash(_node: int, _body: bytes) -> bytes:
            raise ZeroDivisionError("by zero")

        two.bus.on_call("sleep", sleep)
        two.bus.on_call("refuse", refuse)
        two.bus.on_call("crash", crash)
        for kind, why in (
            ("what", "no handler"),
            ("sleep", "did not reply"),
            ("refuse", "not today"),
            ("crash", "by zero"),
        ):
            with pytest.raises(CallError, match=why):
                await one.bus.call(two.bus.node, kind, on_reply=bytes)
        asking = asyncio.create_task(
            three.bus.call(two.bus.node, "sleep", on_reply=bytes, timeout_s=60.0)
        )
        await asyncio.sleep(0)
        await two.bus.__aexit__()
        with pytest.raises(CallError, match=f"node {two.bus.node}"):
            await asking


async def test_an_error_of_the_reader_is_the_callers(engine: Engine) -> None:
    """What `on_reply` raises is raised by `call`."""
    async with engine.nodes() as (one, two):

        async def answer(_node: int, _body: bytes) -> bytes:
            return b"no number"

        two.bus.on_call("ask", answer)
        with pytest.raises(ValueError, match="invalid literal"):
            await one.bus.call(two.bus.node, "ask", on_reply=int)


async def test_calls_and_replies_may_be_long(engine: Engine) -> None:
    """Several MiB, in both directions."""
    async with engine.nodes(heartbeat_s=0.5) as (one, two):

        async def reverse(_node: int, body: bytes) -> bytes:
            return body[::-1]

        two.bus.on_call("reverse", reverse)
        body = bytes(range(256)) * 4096 * 3
        reply = await one.bus.call(two.bus.node, "reverse", body, on_reply=bytes, timeout_s=30.0)
        assert reply == body[::-1]


async def test_too_many_calls_are_refused(engine: Engine) -> None:
    """A node makes only so many at once, and answers only so many of another one."""
    async with engine.nodes(max_calls=3) as (one, two):
        may_answer = asyncio.Event()

        async def wait(_node: int, _body: bytes) -> bytes:
            await may_answer.wait()
            return b"done"

        two.bus.on_call("wait", wait)
        calls = [
            asyncio.create_task(one.bus.call(two.bus.node, "wait", on_reply=bytes))
            for _ in range(3)
        ]
        await asyncio.sleep(0)
        with pytest.raises(CallError, match="3 calls are pending"):
            await one.bus.call(two.bus.node, "wait", on_reply=bytes)
        may_answer.set()
        assert await asyncio.gather(*calls) == [b"done"] * 3


async def test_a_caller_may_give_up(engine: Engine) -> None:
    """Its reply comes too late and is ignored; the next call works."""
    async with engine.nodes() as (one, two):
        may_answer = asyncio.Event()

        async def wait(_node: int, body: bytes) -> bytes:
            if body == b"slow":
                await may_answer.wait()
            return body

        two.bus.on_call("wait", wait)
        slow = asyncio.create_task(one.bus.call(two.bus.node, "wait", b"slow", on_reply=bytes))
        await asyncio.sleep(0.01)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        may_answer.set()

        assert await one.bus.call(two.bus.node, "wait", b"quick", on_reply=bytes) == b"quick"
