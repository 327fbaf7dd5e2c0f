"""The pulse times the server's answers, and gives up on one that does not answer."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.conformance.suite.judging import pulse as pulse_module
from phoenix_compat.conformance.suite.judging.pulse import MUTE_AFTER_S, Pulse
from phoenix_compat.conformance.suite.pace import Pace
from tests.conformance.suite.fake_machine import FakeMachine
from tests.conformance.suite.fake_server import FakeServer, close, text
from tests.patience import patient


async def test_the_answers_are_timed() -> None:
    """A late answer counts while it is awaited and afterwards, and each is reported."""
    took_s: list[float] = []
    is_answered = asyncio.Event()

    def note(answer_s: float) -> None:
        took_s.append(answer_s)
        is_answered.set()

    pulse = Pulse(note)
    async with FakeServer(pulse_s=0.2).run() as base_url:
        watch = asyncio.create_task(pulse.watch(base_url))
        async with asyncio.timeout(patient(5.0)):
            await is_answered.wait()
        watch.cancel()
        await asyncio.wait([watch])

    assert pulse.slowest_s >= took_s[0] >= 0.2


@pytest.mark.parametrize(
    ("awaited_s", "counts_s"), [(1.0, 1.0), (MUTE_AFTER_S, MUTE_AFTER_S), (MUTE_AFTER_S + 0.1, 0.0)]
)
def test_a_mute_server_is_not_a_slow_one(awaited_s: float, counts_s: float) -> None:
    """After a limit, an answer that has not come no longer counts."""
    pulse = Pulse(clock=lambda: awaited_s)
    pulse._asked_at_s = 0.0
    before = pulse.slowest_s
    pulse.has_answered = True

    assert before == 0.0, "nothing is known of a server that has never answered"
    assert pulse.slowest_s == counts_s


async def test_a_server_that_hangs_up_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connections are limited; the watch ends."""
    monkeypatch.setattr(pulse_module, "_MAX_REFUSALS", 3)
    monkeypatch.setattr(pulse_module, "_RECONNECT_S", 0.0)
    monkeypatch.setattr(pulse_module, "_QUERY", "vsn=2.0.0")  # so that the script is played
    server = FakeServer([close(1011)])

    async with server.run() as base_url, asyncio.timeout(patient(5.0)):
        await Pulse().watch(base_url)

    assert len(server.requests) == 3


async def test_the_pace_and_the_conditions_follow_the_answers(machine: FakeMachine) -> None:
    """A server that becomes slow during the run gets more time, and what was seen is recorded."""
    pace = Pace(machine.lateness, lambda: 1.0)
    before = pace.factor

    async with FakeServer(*[[text("[]")]] * 4, pulse_s=0.3).run() as url, pace.watching(url):
        with pace.observing() as conditions:
            await asyncio.sleep(0.5)

    assert before == 1.0
    assert conditions.answer_s >= 0.3
    assert pace.factor >= 3.0
