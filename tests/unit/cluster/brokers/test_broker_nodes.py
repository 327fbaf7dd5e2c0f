"""Nodes on a broker that is cut, stops or is silent: who is up, who is down, and who is deaf."""

from __future__ import annotations

import asyncio
import os

import pytest

from phoenix_compat.cluster.brokers import peers
from tests.patience import patient
from tests.unit.cluster.brokers.memory_broker import MemoryServer
from tests.unit.cluster.brokers.memory_nodes import BEAT_S, Node, nodes, until
from tests.unit.cluster.harness import KIND


async def test_a_node_that_leaves_is_down_at_once() -> None:
    """It says so, and nobody waits for its heartbeats."""
    async with nodes(heartbeat_s=60.0) as (one, two):
        await one.bus.__aexit__()

        assert await two.next() == ("down", one.bus.node)


async def test_a_node_that_leaves_says_nothing_after_that() -> None:
    """Neither a heartbeat nor a cast, while it waits for the broker to pass its Bye on."""
    async with nodes() as (one, two):
        one.broker.server.delay_s = lambda: 4 * BEAT_S
        leaving = asyncio.create_task(one.bus.__aexit__())
        await asyncio.sleep(0)
        one.bus.cast(KIND, b"too late")
        await leaving
        one.broker.server.delay_s = lambda: 0.0

        assert await two.next() == ("down", one.bus.node)
        await asyncio.sleep(4 * BEAT_S)
        assert two.listener.is_empty


async def test_a_node_that_has_left_does_not_come_back_late() -> None:
    """What a connection that was given up delivers after the Bye; opened again, it is there."""
    async with nodes(heartbeat_s=5.0) as (one, two):
        said: list[bytes] = []

        def keep(_subject: str, data: bytes) -> bool:
            said.append(data)
            return False

        one.broker.server.loses = keep
        one.bus.cast(KIND, b"in time")
        assert await two.next() == (one.bus.node, b"in time")
        await one.bus.__aexit__()
        assert await two.next() == ("down", one.bus.node)

        two.broker.receive("phoenix_compat.all", said[0])
        assert two.listener.is_empty

        await one.bus.__aenter__()
        assert await two.next() == ("up", one.bus.node)


async def test_nodes_beyond_the_limit_are_ignored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And logged once a minute."""
    monkeypatch.setattr(peers, "MAX_NODES", 1)
    async with nodes(2) as (one, two):
        three = Node(one.broker.server, heartbeat_s=BEAT_S)
        async with three.bus:
            await until(lambda: "beyond the limit" in caplog.text)
            await asyncio.sleep(3 * BEAT_S)
            assert one.bus.up == {two.bus.node}
        assert caplog.text.count("beyond the limit") <= 3


async def test_a_node_that_dies_is_down_after_its_heartbeats() -> None:
    """It says nothing any more."""
    async with nodes() as (one, two):
        for task in one.bus.background:
            task.cancel()
        one.broker.disconnect()

        assert await two.next() == ("down", one.bus.node)
        assert two.bus.up == frozenset()


async def test_a_bus_that_is_opened_again_is_a_restarted_node() -> None:
    """Its casts are numbered anew, which is no gap."""
    server = MemoryServer()
    async with nodes(server=server) as (one, two):
        one.bus.cast(KIND, b"before")
        assert await two.next() == (one.bus.node, b"before")
        server.loses = lambda _subject, _data: True  # also its Bye
        await one.bus.__aexit__()
        server.loses = lambda _subject, _data: False
        await one.bus.__aenter__()

        assert await two.next() == ("down", one.bus.node)
        assert await two.next() == ("up", one.bus.node)
        one.bus.cast(KIND, b"after")
        assert await two.next() == (one.bus.node, b"after")


async def test_two_halves_see_each_other_down_and_up_again() -> None:
    """A net that is split and heals: the state is read again at `up`."""
    async with nodes() as (one, two):
        server = one.broker.server
        server.partition([one.broker], [two.broker])
        assert await one.next() == ("down", two.bus.node)
        assert await two.next() == ("down", one.bus.node)
        one.bus.cast(KIND, b"to nobody")

        server.partition()

        assert await one.next() == ("up", two.bus.node)
        assert await two.next() == ("up", one.bus.node)
        one.bus.cast(KIND, b"to all")
        assert await two.next() == (one.bus.node, b"to all")
        assert not one.bus.is_deaf


async def test_a_hello_that_comes_late_changes_nothing() -> None:
    """One of a connection that was given up may arrive after later ones."""
    async with nodes(heartbeat_s=5.0) as (one, two):
        server = one.broker.server
        said: list[bytes] = []

        def keep(_subject: str, data: bytes) -> bool:
            said.append(data)
            return False

        server.loses = keep
        one.bus.drop_role("cook")
        one.bus.take_role("cook")
        assert await two.next() == ("role", one.bus.node, one.bus.node)

        two.broker.receive("phoenix_compat.all", said[0])

        assert two.listener.is_empty
        assert two.bus.holder("cook") == one.bus.node


async def test_after_a_reconnect_all_is_read_again() -> None:
    """Each node reports a gap of each other one, even if no number is missing."""
    async with nodes(3, heartbeat_s=0.2) as opened:
        server = opened[0].broker.server
        server.stop()
        await until(lambda: all(node.broker.runs >= 2 for node in opened))
        server.is_up = True

        for node in opened:
            others = {other.bus.node for other in opened} - {node.bus.node}
            events = [await node.next(), await node.next()]
            assert sorted(events) == sorted(("gap", other) for other in others)


async def test_a_silent_subscription_is_deaf_and_made_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection looks healthy; the own heartbeat is missing."""
    async with nodes(heartbeat_s=0.1) as (one, two):
        one.broker.is_silent = True
        two.bus.cast(KIND, b"unheard")
        await until(lambda: one.bus.is_deaf)

        await until(lambda: not one.bus.is_deaf)

        assert one.broker.runs == 2
        assert one.bus.counts.deaf == 1
        assert await one.next() == ("gap", two.bus.node)
        assert "not even itself" in caplog.text
        assert "hears again" in caplog.text


async def test_a_broker_that_is_away_makes_deaf(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, not at each attempt."""
    server = MemoryServer()
    server.is_up = False
    node = Node(server)
    async with node.bus:
        await until(lambda: node.bus.is_deaf and node.broker.runs > 3)
        assert caplog.text.count("the server is down") == 1

        server.is_up = True

        await until(lambda: not node.bus.is_deaf)


async def test_a_blocked_loop_does_not_take_others_for_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a process has not read yet is not silence."""
    async with nodes() as (one, two):
        loop = asyncio.get_running_loop()
        time = loop.time

        monkeypatch.setattr(loop, "time", lambda: time() + 1_000)
        await asyncio.sleep(3 * BEAT_S)

        assert one.bus.up == {two.bus.node}
        assert not one.bus.is_deaf


async def test_a_fork_is_another_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus that was made before the fork gets its number when it opens."""
    node = Node(MemoryServer())
    number = node.bus.node
    monkeypatch.setattr(os, "getpid", lambda: 1)

    async with node.bus:
        assert node.bus.node != number


async def test_who_has_caught_up_hears_all() -> None:
    """A start waits for itself and for the others; without a broker it goes on after a while."""
    server = MemoryServer()
    async with nodes(1, server) as [one]:
        two = Node(server)
        async with two.bus:
            assert await two.bus.catch_up(patient(5.0))
            assert two.bus.up == {one.bus.node}

        server.stop()
        three = Node(server)
        async with three.bus:
            assert not await three.bus.catch_up(0.01)
            assert three.bus.counts.late == 1
