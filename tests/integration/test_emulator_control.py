"""The emulator's control routes, over real sockets."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator import FAULTS
from tests.unit.emulator.caller import calling


async def test_the_clock_can_be_moved() -> None:
    """The control route advances and scales, and refuses to go back."""
    async with calling() as caller:
        created = await caller.create()

        moved = await caller.request("POST", "/__emu/clock", json={"advance_s": 60, "scale": 2})
        back = await caller.request("POST", "/__emu/clock", json={"advance_s": -1})

        assert (moved.json["scale"], back.status) == (2, 422)
        assert (await caller.poll(created)).json["status"] == "succeeded"


async def test_the_fault_table_can_be_read() -> None:
    """GET /__emu/faults lists every fault with its stage, and what is armed."""
    async with calling() as caller:
        caller.state.faults.arm("500", 2)

        seen = await caller.get("/__emu/faults")
        cleared = await caller.request("DELETE", "/__emu/faults")

        assert {row["name"] for row in seen.json["faults"]} == set(FAULTS)
        assert seen.json["armed"] == [{"name": "500", "times_left": 2, "rate": 1.0}]
        assert cleared.json["armed"] == []


@pytest.mark.parametrize(
    "body", [{}, {"name": "no such"}, {"name": "500", "times": 0}, [], {"name": "500", "rate": "x"}]
)
async def test_a_fault_that_cannot_be_armed(body: object) -> None:
    """It is refused with 422, and nothing is armed."""
    async with calling() as caller:
        seen = await caller.request("POST", "/__emu/faults", json=body)

        assert seen.status == 422
        assert caller.state.faults.armed == ()


async def test_the_inside_can_be_seen_and_forgotten() -> None:
    """State, counts and single predictions are readable; forgetting leaves the counts."""
    async with calling() as caller:
        first = await caller.create("one")
        await caller.create("two")

        dump = await caller.get("/__emu/state")
        shown = await caller.get(first.json["urls"]["web"])
        gone = await caller.request("DELETE", f"/__emu/predictions/{first.json['id']}")
        counts = await caller.get("/__emu/counts")

        assert [one["input"]["prompt"] for one in dump.json["results"]] == ["one", "two"]
        assert shown.json == first.json
        assert gone.json == {"forgotten": 1}
        assert (counts.json["predictions"], counts.json["counts"]["created"]) == (1, 2)
        assert (await caller.poll(first)).status == 404
