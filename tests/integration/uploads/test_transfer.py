"""Tasks that use photos are exported and imported, and the files are copied."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.integration.operations.commands import Finished, run
from tests.integration.task_server import product, settings_for
from tests.integration.uploads.photo import edit, photo
from tests.integration.uploads.test_file_api import upload
from tests.integration.uploads.test_inline import rows

COMMAND = ("-m", "phoenix_compat")


async def test_an_imported_task_finds_its_photo(tmp_path: Path) -> None:
    """Once the folder was copied, also if the import was first; the task can be run again."""
    here, there, out = tmp_path / "here", tmp_path / "there", str(tmp_path / "tasks.jsonl")
    async with product(settings_for(here)) as client:
        _, file = await upload(client, photo())
        _, task = await client.request(
            "POST", "/api/tasks", json=edit(file["id"], prompt="a #fault:E005")
        )
        assert (await client.ended(task["task_id"]))["status"] == "failed"

    async def imported() -> Finished:
        return await run(*COMMAND, "import", "--data-dir", str(there), out)

    await run(*COMMAND, "export", "--data-dir", str(here), out)
    first = await imported()
    shutil.copytree(here / "files", there / "files")
    again = await imported()

    assert "1 tasks name files that are not in" in first.err
    assert str(there / "files") in first.err
    assert (again.out, again.err) == ("0 tasks added, 1 existed already\n", "")
    assert rows(there, "SELECT owner, 'upload:' || sha256 FROM uploads") == [("", file["id"])]
    async with product(settings_for(there)) as client:
        status, retried = await client.request("POST", f"/api/tasks/{task['task_id']}/retry")
        assert status == 202, retried
        assert (await client.ended(task["task_id"]))["status"] == "failed"
