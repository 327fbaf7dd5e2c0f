"""phoenix.js's own `Presence` class follows who is there.

Numbers are those of docs/protocol.md.
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
    """What a client says of itself: it is in the state, and then in the diff that came before."""
    return [["came", [user, 0]], ["came", [user, 1]]]


async def test_users_come_and_go(serve: Serve, run: phoenix_js.Run) -> None:
    """§7.7: a second user comes, changes, and goes without a word; the first sees it all."""
    base_url = await serve(build_reference_app())
    ann = await run("presence.mjs", base_url, "ann")
    alone = await ann.wait_for("sync")

    bob = await run("presence.mjs", base_url, "bob")
    bobs_view = await bob.wait_for("sync")
    came = await ann.wait_for("sync")
    await bob.tell('{"away": true}')
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
    """§6.2: a user stays as long as one of the devices does."""
    base_url = await serve(build_reference_app())
    phone = await run("presence.mjs", base_url, "ann")
    await phone.wait_for("sync")

    desk = await run("presence.mjs", base_url, "ann")
    came = await phone.wait_for("sync")
    await desk.stop()
    went = await phone.wait_for("sync")

    assert came == [["came", ["ann", 1]], ["sync", {"ann": [False, False]}]]
    assert went == [["went", ["ann", 1]], ["sync", {"ann": [False]}]]
