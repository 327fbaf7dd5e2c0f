"""SwiftPhoenixClient from 0.9 to 5.3 through a whole job: create, progress, kill, restart, picture.

All versions are clients of one server at once, each with a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.conformance.suite.wire_client import Headers
from tests.interop.job_server import job_server
from tests.interop.swift.client import SwiftApp
from tests.interop.swift.versions import VERSIONS, SwiftVersion


@dataclass(frozen=True)
class Credential:
    """How an app proves who it is: not at all, in the socket's params or in a header."""

    name: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Headers = ()


Combinations = Mapping[str, tuple[SwiftVersion, Credential]]


def combined(*credentials: Credential) -> Combinations:
    """Every version with every credential, by a name for both."""
    return {
        f"{version.name}, {credential.name}": (version, credential)
        for version in VERSIONS
        for credential in credentials
    }


def apps_of(
    combinations: Combinations, url: str, task_ids: Mapping[str, str]
) -> dict[str, SwiftApp]:
    """An app for each combination, and for its task."""
    return {
        name: SwiftApp(
            version,
            url,
            f"task:{task_ids[name]}",
            params=credential.params,
            headers=credential.headers,
        )
        for name, (version, credential) in combinations.items()
    }


@asynccontextmanager
async def running(apps: Mapping[str, SwiftApp]) -> AsyncIterator[None]:
    """Run the apps; an error of one ends the test."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(app.run(), name=name) for name, app in apps.items()]
        yield
        for task in tasks:
            task.cancel()


async def all_of(apps: Mapping[str, SwiftApp], method: str, *arguments: Any) -> None:
    """Call a method of every app, at once."""
    await asyncio.gather(*(getattr(app, method)(*arguments) for app in apps.values()))


@pytest.mark.parametrize("auth", ["none", pytest.param("keys", marks=pytest.mark.long)])
async def test_the_whole_job(tmp_path: Path, auth: str) -> None:
    """Each version gets its progress, rejoins after a kill, gets its picture, and joins late."""
    async with job_server(tmp_path, PHOENIX_COMPAT_AUTH=f'["{auth}"]') as server:
        combinations, headers = combined(Credential("no credential")), {}
        if auth == "keys":
            key = await server.create_key()
            headers = {"Authorization": f"Bearer {key}"}
            combinations = combined(
                Credential("token in params", {"token": key}),
                Credential("Bearer", headers=tuple(headers.items())),
            )
        await server.start()
        task_ids = {name: await server.create_task(name, headers) for name in combinations}

        first = apps_of(combinations, server.url, task_ids)
        async with running(first):
            await all_of(first, "until", lambda app: app.progress and app.heartbeats)
            await server.kill()
            await server.process.start()
            await all_of(first, "until", lambda app: app.joins == 2)
            server.let_models_run()
            await all_of(first, "until", lambda app: app.end)
            await all_of(first, "leave")
        late = apps_of(combinations, server.url, task_ids)
        async with running(late):
            await all_of(late, "until", lambda app: app.end)
            await all_of(late, "leave")

        for name, app in first.items():
            steps = [payload["progress"] for payload in app.progress]
            assert steps == sorted(steps), name
            assert (app.dropped, app.refusals, app.close_code) == ([], [], 1000), name
            assert app.end is not None
            assert app.end["status"] == "completed", name
            assert await server.is_picture(app.end), name
            assert (late[name].dropped, late[name].progress) == ([], [app.end]), name
