"""The pace of a run: 1 if nothing is slow, more for a slow machine or server, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from phoenix_compat.conformance.suite import pace as pace_module
from phoenix_compat.conformance.suite.machine import processor_slowness
from phoenix_compat.conformance.suite.pace import MAX_FACTOR, Pace
from phoenix_compat.conformance.suite.wire_client import Opcode, encode_frame
from tests.conformance.suite.fake_machine import FakeMachine
from tests.conformance.suite.fake_server import HANG_UP, Answers, FakeServer, close, plain, text

ANSWER = [text('[null,"1","phoenix","phx_reply",{"response":{},"status":"ok"}]')]


def usual() -> float:
    """The slowness of a usual processor."""
    return 1.0


def answering_after(*took_s: float) -> Callable[[], float]:
    """A clock in which the answers take so long: it is read before and after each."""
    times: Iterator[float] = iter([at_s for one in took_s for at_s in (0.0, one)])
    return lambda: next(times)


@contextmanager
def heartbeats_end_after(limit_s: float) -> Iterator[None]:
    """The limit of all heartbeats is shorter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace_module, "_HEARTBEATS_LIMIT_S", limit_s)
        yield


async def test_only_lateness_that_others_cause_counts(machine: FakeMachine) -> None:
    """The worst recent wake-up counts; the thread's own work and old wake-ups do not."""
    worst_s = [machine.lateness.worst_s]
    for machine.late_s, machine.work_s, number in [(0.0, 0.3, 1), (0.2, 0.3, 1), (0.0, 0.0, 39)]:
        await machine.samples(number)
        worst_s.append(machine.lateness.worst_s)
    await machine.samples(1)

    assert worst_s == pytest.approx([0.0, 0.0, 0.2, 0.2])
    assert machine.lateness.worst_s == pytest.approx(0.0)


async def test_the_pace_grows_while_the_loop_is_late(machine: FakeMachine) -> None:
    """Lateness up to 50 ms does not matter; the pace is bounded, and falls again."""
    pace = Pace(machine.lateness, usual)
    factors = []
    for machine.late_s in (0.0, 0.05, 0.15, 60.0, 0.0):
        await machine.samples(40)
        factors.append(pace.factor)

    assert factors == [1.0, 1.0, 3.0, MAX_FACTOR, 1.0]


async def test_a_time_limit_is_stretched(machine: FakeMachine) -> None:
    """Limits are multiplied by the factor, and the highest one that was used is remembered."""
    pace = Pace(machine.lateness, usual)
    limits = []
    for machine.late_s in (0.0, 0.2, 0.1):
        await machine.samples(40)
        limits.append(pace.stretch(0.5))
    machine.late_s = 0.5
    await machine.samples(1)

    assert limits == pytest.approx([0.5, 2.0, 1.0])
    assert pace.highest == 4.0


@pytest.mark.parametrize(
    ("took_s", "slowness", "factor"),
    [
        ((3.0, 0.01, 0.02, 0.1), 1.0, 1.0),
        ((3.0, 0.01, 0.4, 0.02), 1.0, 4.0),
        ((0.0, 0.0, 0.0, 0.0), 2.54, 2.5),
        ((0.0, 0.3, 0.3, 0.3), 2.0, 3.0),
        ((0.0, 0.0, 50.0, 0.0), 1.0, MAX_FACTOR),
    ],
)
async def test_the_slowest_answer_and_the_processor_count(
    machine: FakeMachine, took_s: tuple[float, ...], slowness: float, factor: float
) -> None:
    """The larger of both; the first answer only warms the connection up."""
    pace = Pace(machine.lateness, lambda: slowness, answering_after(*took_s))

    async with FakeServer(*[ANSWER] * 4).run() as base_url:
        await pace.measure(base_url)

    assert pace.factor == factor


async def test_other_frames_are_not_the_answer(machine: FakeMachine) -> None:
    """A ping of the server is passed over."""
    ping = encode_frame("", Opcode.PING, mask=None)
    pace = Pace(machine.lateness, usual, answering_after(0.0, 0.5, 0.2, 0.2))

    async with FakeServer(*[[ping, *ANSWER]] * 4).run() as base_url:
        await pace.measure(base_url)

    assert pace.factor == 5.0


@pytest.mark.parametrize(
    "script",
    [[ANSWER, [close(1011)]], [ANSWER, [HANG_UP]], [ANSWER]],
    ids=["close", "drop", "hush"],
)
async def test_a_server_that_stops_answering_is_judged_by_what_it_answered(
    machine: FakeMachine, script: list[Answers]
) -> None:
    """Then the first answer counts, and the measurement ends in time."""
    pace = Pace(machine.lateness, usual, answering_after(0.7, 0.0))

    async with FakeServer(*script).run() as base_url:
        with heartbeats_end_after(0.3):
            await pace.measure(base_url)

    assert pace.factor == 7.0


@pytest.mark.parametrize("response", [plain(403), b"nothing like HTTP\r\n\r\n", b""])
async def test_a_server_that_never_answers_is_not_a_slow_one(
    machine: FakeMachine, response: bytes
) -> None:
    """Refusals, nonsense and silence leave the factor at 1; so does no server at all."""
    pace = Pace(machine.lateness, usual)

    with heartbeats_end_after(0.3):
        async with FakeServer(responses=(response,)).run() as base_url:
            await pace.measure(base_url)
        await pace.measure(base_url)

    assert pace.factor == 1.0


async def test_the_loop_is_watched_until_the_run_ends(machine: FakeMachine) -> None:
    """A machine that becomes busy during the run is noticed, and nothing is left running."""
    pace = Pace(machine.lateness, usual)
    others = asyncio.all_tasks()

    async with FakeServer(*[ANSWER] * 4).run() as base_url, pace.watching(base_url):
        before, machine.late_s = pace.factor, 0.1
        for _iteration in range(10):
            await asyncio.sleep(0)
        after = pace.factor
    await asyncio.sleep(0)

    assert (before, after) == (1.0, 2.0)
    assert not any("watch" in repr(task.get_coro()) for task in asyncio.all_tasks() - others)


def test_the_processor_is_measured_once() -> None:
    """It has a speed, and is not measured again."""
    first, second = processor_slowness(), processor_slowness()

    assert first == second > 0.0
