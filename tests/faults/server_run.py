"""A server with its emulator and its client: posts tasks, restarts it, waits for the ends."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from phoenix_compat.emulator import EmulatorSettings
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.predictions.run_output import is_written, text_chunks
from tests.faults import audit
from tests.faults.app_client import TERMINAL, AppClient
from tests.faults.observed_emulator import Interception, ObservedEmulator, observed_emulator
from tests.faults.server_process import HarnessError, ServerProcess
from tests.faults.task_kinds import KINDS, Kind, PostedTask, random_photo
from tests.patience import patient

STEP_TIMEOUT_S = 20.0
"""How long to wait for a step; after that the server is killed where it is."""

_SPEED = 4.0
_POLL_S = 0.01
_CONCURRENCY = 50
_PAGE = 200
_TIMEOUT = aiohttp.ClientTimeout(total=30.0)
_NO_LIMIT = 1_000_000

# Faults of other tasks while the server is killed; see the README of the emulator.
_FAULTS = (
    *("", "", ""),
    *("reset_afterx1", "reset_afterx1 list_lag", "502_afterx1", "hang_afterx1", "truncatedx1"),
    *("slow_answerx1", "429x1", "poll_500x1", "poll_resetx2", "E005", "PAx1", "output_two"),
    *("filtered_one", "filtered_black", "safety_system", "error_quotes", "logs_quote"),
    *("logs_download", "output_label", "402x1"),
)
_TEXT_FAULTS = (
    *("", "", "output_many_tokens", "stream_cut", "stream_500", "stream_resetx2", "stream_lost"),
    *("stream_garbage", "stream_slow", "stream_404", "reset_afterx1", "502_afterx1"),
)
_TRANSIENT = "#fault:PA"
_DUPLICATE_CHANCE = 0.15
_UNUSED_CHANCE = 0.2


class ServerRun:
    """A server on one data directory, over all its restarts. All randomness comes from `rng`.

    Attributes:
        posted: all tasks that were posted.
        has_archive: this version of the server stores copies of the pictures.
        has_idempotency_keys: this version of the server supports Idempotency-Key.
        uploads: the ids of the files that were answered with 201.
    """

    def __init__(
        self,
        emulator: ObservedEmulator,
        server: ServerProcess,
        http: aiohttp.ClientSession,
        rng: random.Random,
        *,
        is_crowded: bool,
    ) -> None:
        self.emulator = emulator
        self.server = server
        self.rng = rng
        self.client = AppClient(http, server.url)
        self.posted: list[PostedTask] = []
        self.uploads: set[str] = set()
        self.has_archive = False
        self.has_idempotency_keys = False
        self._http = http
        self._is_crowded = is_crowded

    @property
    def promised(self) -> dict[str, PostedTask]:
        """The tasks that were accepted with 202, by task id."""
        return {task.task_id: task for task in self.posted if task.task_id is not None}

    @asynccontextmanager
    async def another_client(self) -> AsyncIterator[AppClient]:
        """A new client, connected while the block runs."""
        async with _connected(AppClient(self._http, self.server.url)) as client:
            yield client

    async def begin(self) -> None:
        """Start the server for the first time, and find out what this version supports."""
        await self.restart()
        task = await self.post()
        assert task.task_id is not None
        repeated = PostedTask(task.prompt, task.key)
        self.posted.append(repeated)
        await self.send(repeated)
        self.has_idempotency_keys = repeated.task_id == task.task_id
        if not await self._until(self._are_all_ended):
            raise HarnessError("the first task did not end in time")
        self.has_archive = self.emulator.state.counts["downloads"] > 0

    async def restart(self) -> None:
        """Start the server, wait until it answers, and repeat the posts without an answer."""
        await self.server.start()
        await self.server.ready(self._http)
        if self.has_idempotency_keys:
            for task in self.posted:
                if task.task_id is None:
                    await self.send(task)

    async def post(self, *faults: str, kind: Kind = Kind.PICTURE) -> PostedTask:
        """Post a task with a unique prompt and these faults of the emulator."""
        task = self.new_task(*faults, kind=kind)
        await self.send(task)
        return task

    def new_task(self, *faults: str, kind: Kind = Kind.PICTURE) -> PostedTask:
        """A task that is going to be posted."""
        faults_text = "".join(f" #fault:{fault}" for fault in faults)
        has_photo = kind in {Kind.EDIT, Kind.INLINE_EDIT}
        task = PostedTask(
            f"monk {uuid.UUID(int=self.rng.getrandbits(128))}{faults_text}",
            self._key(),
            kind,
            random_photo(self.rng) if has_photo else None,
        )
        self.posted.append(task)
        return task

    async def post_others(self) -> None:
        """Post one to three tasks, some with a fault, some twice; and sometimes a file."""
        if not self._is_crowded:
            return
        if self.rng.random() < _UNUSED_CHANCE:
            await self.upload_unused()
        for _ in range(self.rng.randint(1, 3)):
            kind = self.rng.choice(KINDS)
            faults = _TEXT_FAULTS if kind is Kind.TEXT else _FAULTS
            task = await self.post(*self.rng.choice(faults).split(), kind=kind)
            if self.rng.random() < _DUPLICATE_CHANCE:
                duplicate = replace(task, key=self._key(), task_id=None)
                self.posted.append(duplicate)
                await self.send(duplicate)

    async def send(self, task: PostedTask) -> None:
        """Post a task and watch it after a 202. Without an answer its fate is unknown.

        Raises:
            HarnessError: the answer is not 202, or that for its photo is not 201.
        """
        try:
            upload_id = await self.upload(task.photo) if task.kind is Kind.EDIT else None
            body = {"input_data": task.input_data(upload_id)}
            data = io.BytesIO(json.dumps(body).encode())
            headers = {"Idempotency-Key": task.key, "Content-Type": "application/json"}
            document = await self._posted("/api/tasks", data, headers, 202)
        except (aiohttp.ClientError, OSError):
            return
        task.task_id = document["task_id"]
        await self.client.watch(document["task_id"])

    async def upload(self, photo: bytes | AsyncIterable[bytes] | None) -> str:
        """Send a photo; returns its id. Raises as aiohttp without an answer."""
        data = io.BytesIO(photo) if isinstance(photo, bytes) else photo
        document = await self._posted("/api/files", data, {"Content-Type": "image/jpeg"}, 201)
        self.uploads.add(document["id"])
        return str(document["id"])

    async def _posted(
        self, path: str, data: Any, headers: Mapping[str, str], status: int
    ) -> dict[str, Any]:
        url = self.server.url + path
        async with self._http.post(url, data=data, headers=headers) as answer:
            document = dict(await answer.json(content_type=None))
        if answer.status != status:
            raise HarnessError(f"POST {path} was answered with {answer.status}: {document}")
        return document

    async def document(self, task_id: str) -> dict[str, Any]:
        """GET one task; empty when there is none with this id."""
        async with self._http.get(self._url(task_id)) as answer:
            return dict(await answer.json()) if answer.status == 200 else {}

    async def documents(self) -> list[dict[str, Any]]:
        """GET all tasks, newest first."""
        found: list[dict[str, Any]] = []
        query = {"limit": str(_PAGE)}
        while True:
            async with self._http.get(self._url(), params=query) as answer:
                page = await answer.json()
            found += page["tasks"]
            if "next_cursor" not in page:
                return found
            query["cursor"] = page["next_cursor"]

    async def until_state(self, task: PostedTask, state: str) -> bool:
        """Wait until a task is in this state. False after a timeout."""
        return await self._until(lambda: self._is_in(task, state))

    async def until_file_begins(self) -> bool:
        """Wait until a file is arriving. False after a timeout."""
        return await self._until(self._has_incoming)

    async def until_output(self, task: PostedTask) -> bool:
        """Wait until the client has a part of a task's text. False after a timeout."""
        return await self._until(lambda: self._has_output(task))

    async def upload_unused(self) -> None:
        """Send a file that no task uses."""
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await self.upload(random_photo(self.rng))

    async def wait_for(self, interception: Interception) -> bool:
        """Wait until an exchange was intercepted. False after a timeout.

        Raises:
            HarnessError: the server has exited by itself.
        """
        try:
            async with asyncio.timeout(patient(STEP_TIMEOUT_S)):
                await interception.matched.wait()
        except TimeoutError:
            self.server.check_alive()
            return False
        return True

    async def settled(self) -> None:
        """Wait until the client has received the end of every task."""
        for task in await self.documents():
            await self.client.watch(
                task["task_id"]
            )  # Some tasks were stored, but their 202 was lost.
        await self.client.all_ended()

    async def sweep(self, path: Path) -> bool:
        """Start the server until no unused file is left, and stop it. False after a timeout.

        Args:
            path: of its database.
        """
        await self.server.start()
        await self.server.ready(self._http)

        async def is_swept() -> bool:
            return not await asyncio.to_thread(audit.unused_uploads, path)

        is_done = await self._until(is_swept)
        await self.server.stop()
        return is_done

    def written_texts(self) -> Mapping[str, str]:
        """What each prediction that writes a text has written at its end, by its id."""
        return {
            prediction.id: "".join(text_chunks(prediction))
            for prediction in self.emulator.state.predictions
            if is_written(prediction)
        }

    def billed(self) -> Counter[str]:
        """The number of predictions by prompt."""
        return Counter(prediction.prompt for prediction in self.emulator.state.predictions)

    def unused(self, used: Collection[str | None]) -> list[Prediction]:
        """The predictions without a task, except those that failed and were rightly repeated."""
        return [
            prediction
            for prediction in self.emulator.state.predictions
            if prediction.id not in used and _TRANSIENT not in prediction.prompt
        ]

    async def _are_all_ended(self) -> bool:
        return all(task["status"] in TERMINAL for task in await self.documents())

    async def _has_incoming(self) -> bool:
        return any(self.server.folder.glob("files/incoming/*.part"))

    async def _has_output(self, task: PostedTask) -> bool:
        return task.task_id is not None and self.client.received[task.task_id].outputs > 0

    async def _is_in(self, task: PostedTask, state: str) -> bool:
        return task.task_id is not None and (await self.document(task.task_id))["state"] == state

    async def _until(self, condition: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
        try:
            async with asyncio.timeout(patient(STEP_TIMEOUT_S)):
                while not await condition():
                    self.server.check_alive()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            return False
        return True

    def _key(self) -> str:
        return f"key-{self.rng.getrandbits(64):016x}"

    def _url(self, task_id: str | None = None) -> str:
        return f"{self.server.url}/api/tasks" + ("" if task_id is None else f"/{task_id}")


@asynccontextmanager
async def open_server_run(folder: Path, seed: str, *, is_crowded: bool) -> AsyncIterator[ServerRun]:
    """A server run with its emulator; the server is killed when the block ends.

    Args:
        is_crowded: see `Plan`.
    """
    rng = random.Random(seed)  # noqa: S311 - when to kill, no secrets
    settings = EmulatorSettings(
        speed=_SPEED,
        seed=rng.getrandbits(32),
        creates_per_minute=_NO_LIMIT,
        requests_per_minute=_NO_LIMIT,
        max_predictions=_NO_LIMIT,
    )
    async with (
        observed_emulator(settings) as emulator,
        aiohttp.ClientSession(timeout=_TIMEOUT) as http,
    ):
        server = ServerProcess(
            folder,
            {
                "REPLICATE_API_TOKEN": "r8_kills",
                "REPLICATE_BASE_URL": f"{emulator.origin}/v1",
                "PHOENIX_COMPAT_CONCURRENCY": str(_CONCURRENCY),
                "PHOENIX_COMPAT_FILE_HOSTS": json.dumps([emulator.origin]),
            },
        )
        server_run = ServerRun(emulator, server, http, rng, is_crowded=is_crowded)
        async with _connected(server_run.client):
            try:
                yield server_run
            finally:
                await server.kill()


@asynccontextmanager
async def _connected(client: AppClient) -> AsyncIterator[AppClient]:
    connection = asyncio.create_task(client.run(), name="client")
    try:
        yield client
    finally:
        connection.cancel()
        await asyncio.gather(connection, return_exceptions=True)
