"""The JavaScript of docs/task-types.md, run as it stands there, with phoenix.js."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from tests.docs.pages import blocks, page
from tests.integration.task_server import product, settings_for
from tests.integration.task_types.test_types import recording
from tests.integration.uploads.photo import photo
from tests.interop.test_phoenix_js import Run, node, run

__all__ = ["node", "run"]  # fixtures

pytestmark = pytest.mark.node


async def test_every_example_gets_its_result(run: Run, tmp_path: Path) -> None:
    """Each block sends its file and watches its task; it gets the address of a file, or a text."""
    common, *examples = blocks(page("task-types.md"), "javascript")
    results = [re.findall(r"const \{(\w+)\} = await run", code)[0] for code in examples]
    asked = {
        "common": common,
        "blocks": [
            {"code": code, "result": result} for code, result in zip(examples, results, strict=True)
        ],
        "photo": base64.b64encode(photo()).decode(),
        "recording": base64.b64encode(recording(0.5)).decode(),
    }
    async with product(settings_for(tmp_path, emulator_speed=60.0)) as client:
        script = await run("page_examples.mjs", client.url)
        await script.write_line(json.dumps(asked))
        script.end_input()

        events = await script.rest()

    got = [data for event, data in events if event == "result"]
    assert len(got) == len(examples) >= 8
    for result, value in zip(results, got, strict=True):
        is_file = result == "image_url"
        assert "/files/" in value if is_file else value.startswith(("You ", "This recording"))
    (shown,) = (data for event, data in events if event == "shown")
    texts = [value for result, value in zip(results, got, strict=True) if result == "text"]
    assert shown == [texts[0], texts[2]]
