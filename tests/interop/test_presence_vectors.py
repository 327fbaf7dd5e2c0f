"""The presence vectors describe what phoenix.js does."""

from __future__ import annotations

from importlib import resources

import pytest

from phoenix_compat.conformance.suite.catalog import read_vectors
from tests.interop import test_phoenix_js as phoenix_js

pytestmark = pytest.mark.node

FILE = resources.files("phoenix_compat.conformance") / "vectors" / "data" / "presence.json"
WANTED = {case["id"]: case["presences"] for case in read_vectors("data/presence.json")["cases"]}

node = phoenix_js.node
run = phoenix_js.run


async def test_phoenix_js_merges_as_the_vectors_say(run: phoenix_js.Run) -> None:
    """After each vector, the `Presence` of phoenix.js has the expected presences."""
    script = await run("presence_vectors.mjs", str(FILE))

    merged = dict(await script.rest())

    assert merged == WANTED
