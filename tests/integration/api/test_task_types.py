"""GET /api/task_types: what clients may ask for, on the whole server."""

from __future__ import annotations

from pathlib import Path

from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.config.reload import RELOADABLE_SETTINGS
from tests.integration.task_server import Client, product, settings_for
from tests.serving import serving

OWN = """
[poster]
task_type = "poster_gen"
default_model = "you/poster"
result = "image"
"""


async def test_the_types_are_listed(tmp_path: Path) -> None:
    """Also those of the operator's file; what is listed can be posted."""
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    settings = settings_for(tmp_path, task_types_file=own, allowed_models=("google/*", "you/*"))
    async with product(settings) as client:
        status, document = await client.request("GET", "/api/task_types")
        posted = {"input_data": {"type": "poster", "prompt": "a"}}
        created, _ = await client.request("POST", "/api/tasks", json=posted)

    assert status == 200
    assert [one["type"] for one in document["task_types"]] == ["image", "edit", "poster"]
    assert document["allowed_models"] == ["google/*", "you/*"]
    assert created == 202


async def test_a_reload_changes_the_list(tmp_path: Path) -> None:
    """The next request gets the types and models as they are now."""
    settings = settings_for(tmp_path)
    async with open_app(settings) as app, serving(app) as url, Client.of(url) as client:
        _, before = await client.request("GET", "/api/task_types")
        changed = settings.model_copy(update={"allowed_models": ("google/*",)})
        await app[RELOADABLE_SETTINGS].apply(changed)
        _, after = await client.request("GET", "/api/task_types")

    assert before["allowed_models"] == ["*"]
    assert [one["type"] for one in after["task_types"]] == ["image", "edit"]
