"""The whole job with phoenix.js: create, progress, kill, restart, picture, late join."""

from __future__ import annotations

from pathlib import Path

from tests.interop.job_server import job_server
from tests.interop.test_phoenix_js import Run

TRANSPORTS = ("websocket", "longpoll")
_RECONNECT_S = 60.0
"""The older versions wait up to 10 s before each try."""


async def check_whole_job(
    run: Run, tmp_path: Path, packages: Path, name: str, transport: str
) -> None:
    """Take one version of npm `phoenix` through the job.

    Args:
        packages: the folder whose `node_modules` has the package.
        name: of the package, or its alias there.
    """
    async with job_server(tmp_path) as server:
        await server.start()
        client = (server.url, str(packages), name, transport)
        script = await run("task.mjs", *client)
        _, task = (await script.wait_for("created"))[-1]
        first = await script.wait_for("progress")

        await server.kill()
        await script.wait_for("close", _RECONNECT_S)
        await server.start()
        await script.wait_for("joined", _RECONNECT_S)
        server.let_models_run()
        *events, (_, end) = await script.wait_for("end", _RECONNECT_S)
        late = await run("task.mjs", *client, task["task_id"])
        late_events = await late.wait_for("end")

        assert [event for event, _ in first] == ["open", "joined", "progress"]
        assert (end["task_id"], end["status"]) == (task["task_id"], "completed")
        assert await server.is_picture(end)
        steps = [payload["progress"] for event, payload in events if event == "progress"]
        assert steps == sorted(steps)
        assert [event for event, _ in late_events] == ["open", "joined", "end"]
        assert late_events[-1][1] == end
