"""The attacks of `make attack`: the quick ones as they are, the long ones with hurried bounds."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.attack import __main__ as command
from tests.attack.registry import ATTACKS, Attack, Finding
from tests.attack.slow import deaf_clients, slow_crowd
from tests.attack.target import LATE_S, Target, keyed_target, own_target
from tests.integration.hardening.crowd import many_descriptors
from tests.integration.hardening.hurried import BOUNDS, FRAME_S, hurried
from tests.integration.task_server import Client
from tests.patience import factor, patient

Serve: TypeAlias = AbstractAsyncContextManager[Target]

SLACK_S = 2.0
CROWD = 200

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    with many_descriptors():
        yield


async def failures(
    folder: Path, attacks: Iterable[Attack], serve: Callable[..., Serve] = own_target
) -> list[str]:
    """What did not hold of some attacks on a server of its own."""
    failed = []
    async with serve(folder, patient(LATE_S)) as target:
        for attack in attacks:
            limit_s = patient(attack.limit_s)
            finding = await command.carry_out(replace(attack, limit_s=limit_s), target, limit_s)
            if not finding.holds:
                failed.append(f"{attack.name}: {attack.bound}; seen: {finding.seen}")
    return failed


async def test_the_quick_attacks(tmp_path: Path) -> None:
    """On the default install, one after the other, every bound holds."""
    quick = [one for one in ATTACKS if one.is_quick]

    assert len(quick) >= 10
    assert await failures(tmp_path, quick) == []


async def test_the_quick_attacks_with_authentication(tmp_path: Path) -> None:
    """On a server with API keys every bound holds too."""
    quick = [one for one in ATTACKS if one.is_quick and not one.needs_own_server]

    assert await failures(tmp_path, quick, keyed_target) == []


async def test_slow_clients_are_gone_in_time(tmp_path: Path) -> None:
    """S8: five kinds of them; a new client is answered meanwhile."""
    async with hurried(tmp_path) as target:
        finding = await slow_crowd(target, CROWD, BOUNDS, FRAME_S, SLACK_S * factor())

    assert finding.holds, finding.seen


async def test_clients_that_do_not_read_are_gone_in_time(tmp_path: Path) -> None:
    """S7: while they ask for ever more; a new client is answered meanwhile."""
    async with hurried(tmp_path) as target:
        async with Client.of(target.url) as client:
            for _ in range(50):
                await client.post("x" * 1_500)
        finding = await deaf_clients(target, BOUNDS.send_s, 2 * SLACK_S * factor())

    assert finding.holds, finding.seen


def test_a_bound_that_does_not_hold_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1, though the other attacks go on; breaking off is no success."""

    @asynccontextmanager
    async def nothing(_options: argparse.Namespace, folder: Path) -> AsyncIterator[Target]:
        yield Target("http://127.0.0.1:1", folder)

    async def breaks_off(_target: Target) -> Finding:
        raise OSError

    async def holds(_target: Target) -> Finding:
        return Finding(holds=True, seen="nothing")

    broken = Attack("one", "-", "-", 5.0, True, False, breaks_off)
    monkeypatch.setattr(command, "ATTACKS", [broken, replace(broken, name="two", run=holds)])
    monkeypatch.setattr(command, "_target", nothing)
    monkeypatch.setattr(
        command, "keyed_target", lambda folder: nothing(argparse.Namespace(), folder)
    )

    with pytest.raises(SystemExit) as exit_one:
        command.main([])
    with pytest.raises(SystemExit) as exit_two:
        command.main(["--only", "two"])

    assert (exit_one.value.code, exit_two.value.code) == (1, 0)
    assert "FAILS  one" in capsys.readouterr().out
