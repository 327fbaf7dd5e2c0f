"""Tests the `Presence` class of phoenix.js against this server.

Numbers refer to docs/protocol.md.
"""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.reference import build_reference_app
from tests.conftest import Serve
from tests.interop import test_phoenix_js as phoenix_js

pytestmark = pytest.mark.node

node = phoenix_js.node
run = phoenix_js.run

HERE = [["open", None], ["joined", {}]]


def twice(user: str) -> list[list[object]]:
    """The joins that a client sees of itself: in the state, then in the earlier diff."""
    return [["came", [user, 0]], ["came", [user, 1]]]


async def test_users_come_and_go(serve: Serve, run: phoenix_js.Run) -> None:
    """§7.7: the first user sees a second one join, update and disconnect."""
    base_url = await serve(build_reference_app())
    ann = await run("presence.mjs", base_url, "ann")
    alone = await ann.wait_for("sync")

    bob = await run("presence.mjs", base_url, "bob")
    bobs_view = await bob.wait_for("sync")
    came = await ann.wait_for("sync")
    await bob.write_line('{"away": true}')
    changed = await ann.wait_for("sync")
    await bob.stop()
    went = await ann.wait_for("sync")

    both = ["sync", {"ann": [False], "bob": [False]}]
    assert alone == [*HERE, *twice("ann"), ["sync", {"ann": [False]}]]
    assert sorted(bobs_view[2:-1]) == [["came", ["ann", 0]], *twice("bob")]
    assert bobs_view[-1] == both
    assert came == [["came", ["bob", 0]], both]
    assert changed == [
        ["came", ["bob", 1]],
        ["went", ["bob", 1]],
        ["sync", {"ann": [False], "bob": [True]}],
    ]
    assert went == [["went", ["bob", 0]], ["sync", {"ann": [False]}]]


async def test_one_user_with_two_devices(serve: Serve, run: phoenix_js.Run) -> None:
    """§6.2: a user is present as long as one of the devices is."""
    base_url = await serve(build_reference_app())
    first_device = await run("presence.mjs", base_url, "ann")
    await first_device.wait_for("sync")

    second_device = await run("presence.mjs", base_url, "ann")
    came = await first_device.wait_for("sync")
    await second_device.stop()
    went = await first_device.wait_for("sync")

    assert came == [["came", ["ann", 1]], ["sync", {"ann": [False, False]}]]
    assert went == [["went", ["ann", 1]], ["sync", {"ann": [False]}]]
