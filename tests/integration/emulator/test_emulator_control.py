"""The emulator's control routes, over real sockets."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator import FAULTS, EmulatorSettings
from phoenix_compat.errors import ConfigError
from tests.unit.emulator.emulator_client import emulator_client


async def test_the_clock_can_be_moved() -> None:
    """The control route can advance and scale the clock; it cannot set it back."""
    async with emulator_client() as client:
        created = await client.create()

        moved = await client.request("POST", "/__emu/clock", json={"advance_s": 60, "scale": 2})
        back = await client.request("POST", "/__emu/clock", json={"advance_s": -1})

        assert (moved.json["scale"], back.status) == (2, 422)
        assert (await client.poll(created)).json["status"] == "succeeded"


async def test_the_fault_table_can_be_read() -> None:
    """GET /__emu/faults lists all faults and the armed ones."""
    async with emulator_client() as client:
        client.state.faults.arm("500", 2)

        response = await client.get("/__emu/faults")
        cleared = await client.request("DELETE", "/__emu/faults")

        assert {row["name"] for row in response.json["faults"]} == set(FAULTS)
        assert response.json["armed"] == [{"name": "500", "times_left": 2, "rate": 1.0}]
        assert cleared.json["armed"] == []


@pytest.mark.parametrize(
    "body", [{}, {"name": "no such"}, {"name": "500", "times": 0}, [], {"name": "500", "rate": "x"}]
)
async def test_an_invalid_fault_is_refused(body: object) -> None:
    """The response is 422, and nothing is armed."""
    async with emulator_client() as client:
        response = await client.request("POST", "/__emu/faults", json=body)

        assert response.status == 422
        assert client.state.faults.armed == ()


async def test_the_state_can_be_read_and_predictions_deleted() -> None:
    """State, counts and single predictions can be read; deleting does not change the counts."""
    async with emulator_client() as client:
        first = await client.create("one")
        await client.create("two")

        dump = await client.get("/__emu/state")
        shown = await client.get(first.json["urls"]["web"])
        deleted = await client.request("DELETE", f"/__emu/predictions/{first.json['id']}")
        counts = await client.get("/__emu/counts")

        assert [one["input"]["prompt"] for one in dump.json["results"]] == ["one", "two"]
        assert shown.json == first.json
        assert deleted.json == {"forgotten": 1}
        assert (counts.json["predictions"], counts.json["counts"]["created"]) == (1, 2)
        assert (await client.poll(first)).status == 404


PAGE = {"Origin": "http://evil.example"}
TEXT = {"Content-Type": "text/plain"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (TEXT, 415),
        ({"Content-Type": ""}, 415),
        (TEXT | PAGE, 415),
        (PAGE, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example:4000"}, 421),
    ],
)
async def test_a_page_of_another_origin_cannot_arm_a_fault(
    headers: dict[str, str], status: int
) -> None:
    """The request is refused with a problem document, and nothing is armed."""
    headers = {"Content-Type": "application/json"} | headers
    async with emulator_client() as client:
        response = await client.request(
            "POST", "/__emu/faults", data=b'{"name": "500"}', headers=headers
        )

        assert response.status == response.json["status"] == status
        assert client.state.faults.armed == ()


@pytest.mark.parametrize("path", ["faults", "clock", "state", "counts", "predictions/x"])
async def test_dns_rebinding_cannot_read_the_state(path: str) -> None:
    """A page whose host name points to this machine is refused on the routes for reading too."""
    async with emulator_client() as client:
        response = await client.get(f"/__emu/{path}", headers={"Host": "evil.example"})

        assert response.status == 421
        assert "--allowed-host" in response.json["detail"]


@pytest.mark.parametrize("path", ["faults", "predictions", "predictions/x"])
async def test_a_page_of_another_origin_cannot_delete(path: str) -> None:
    """Disarming faults and deleting predictions are refused too."""
    async with emulator_client() as client:
        await client.create()
        client.state.faults.arm("500", 2)

        response = await client.request("DELETE", f"/__emu/{path}", headers=PAGE)

        assert response.status == 403
        assert (len(client.state.faults.armed), len(client.state.predictions)) == (1, 1)


async def test_an_allowed_host_is_accepted() -> None:
    """`allowed_hosts` adds host names; the emulated API itself accepts any host name."""
    async with emulator_client(allowed_hosts=("emulator",)) as client:
        allowed = await client.get("/__emu/faults", headers={"Host": "emulator:8901"})
        api = await client.create(headers={"Host": "other:8901"})

        assert (allowed.status, api.status) == (200, 201)


def test_an_allowed_host_must_be_a_host_name() -> None:
    """A URL is a configuration error that says what to write instead."""
    with pytest.raises(ConfigError, match="write 'emulator'"):
        EmulatorSettings(allowed_hosts=("http://emulator:8901",))
