"""Servers that differ in one rule are told apart, with a short conversation."""

from __future__ import annotations

import pytest

from tests.conformance.fuzz.tally import LIMIT_S, MAX_FRAMES, OUT_OF_REACH, find
from tests.conformance.mutants import MUTANTS
from tests.patience import patient

SOME = ("broadcast_from_reaches_its_sender", "refusals_are_401", "pushes_have_a_ref")
SPEED = 3.0
NAMES = [mutant.name for mutant in MUTANTS if mutant.name not in OUT_OF_REACH]


@pytest.mark.parametrize("name", SOME)
async def test_a_server_that_differs_in_one_rule_is_found(name: str) -> None:
    """The fuzzer finds it, and shrinks the conversation to a few frames."""
    found = await find(name, speed=SPEED)

    assert found.difference is not None, str(found)
    assert found.difference.script.frames <= MAX_FRAMES, found.difference.script.to_json()


@pytest.mark.long
@pytest.mark.timeout(4 * LIMIT_S)
@pytest.mark.parametrize("name", NAMES)
async def test_every_mutant_within_reach_is_found_within_a_minute(name: str) -> None:
    """Each mutant of the suite that random conversations can show."""
    found = await find(name)

    assert found.difference is not None, str(found)
    assert found.difference.script.frames <= MAX_FRAMES, found.difference.script.to_json()
    assert found.took_s <= patient(LIMIT_S), str(found)


def test_what_is_out_of_reach_has_a_reason() -> None:
    """Every name is that of a mutant."""
    assert OUT_OF_REACH.keys() <= {mutant.name for mutant in MUTANTS}
    assert all(OUT_OF_REACH.values())
