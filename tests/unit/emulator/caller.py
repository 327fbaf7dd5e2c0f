"""Calls an emulator over real sockets, as a client that knows no SDK and trusts nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from phoenix_compat.emulator import Emulator, EmulatorSettings
from tests.patience import patient

TOKEN = "r8_test"
IMAGEN = "/v1/models/google/imagen-4-fast/predictions"
# Hanging is seen by waiting in vain; on loopback anything that answers does so sooner.
PATIENCE_S = 0.2


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a request: an answer, or the exception that came in its place."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Exception | None = None

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Caller:
    """A client of one emulator."""

    def __init__(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.state = emulator.state
        self._session = session

    async def request(self, method: str, target: str, **options: Any) -> Seen:
        """Send it with the token. `target` is a path, or a whole URL that we were given."""
        headers = {"Authorization": f"Bearer {TOKEN}"} | options.pop("headers", {})
        url = target if target.startswith("http") else self.emulator.origin + target
        timeout = aiohttp.ClientTimeout(total=patient(options.pop("patience_s", 10)))
        try:
            async with self._session.request(
                method, url, headers=headers, timeout=timeout, **options
            ) as answer:
                return Seen(answer.status, answer.headers, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            return Seen(failure=error)

    async def get(self, target: str, **options: Any) -> Seen:
        """GET."""
        return await self.request("GET", target, **options)

    async def create(
        self, prompt: str = "Medieval monk", path: str = IMAGEN, **options: Any
    ) -> Seen:
        """POST a prediction. `given` adds to the input, `body` to the body."""
        given = {"prompt": prompt} | options.pop("given", {})
        body = {"input": given} | options.pop("body", {})
        return await self.request("POST", path, json=body, **options)

    async def poll(self, created: Seen, **options: Any) -> Seen:
        """GET the prediction that was created."""
        return await self.get(created.json["urls"]["get"], **options)


@asynccontextmanager
async def calling(**settings: Any) -> AsyncIterator[Caller]:
    """A caller of an emulator of its own.

    Its clock stands still unless `is_running`: predictions start after 1 s of it and run for 4 s.
    """
    is_running = settings.pop("is_running", False)
    steady = {"starting_s": 1.0, "run_min_s": 4.0, "run_max_s": 4.0}
    async with (
        Emulator(EmulatorSettings(**steady | settings)) as emulator,
        aiohttp.ClientSession() as session,
    ):
        if not is_running:
            emulator.state.clock.scale(0)
        yield Caller(emulator, session)
