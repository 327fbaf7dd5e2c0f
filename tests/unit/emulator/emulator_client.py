"""A plain HTTP client of an emulator, over real sockets and without the SDK."""

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
# How long a test waits to conclude that there is no answer; over loopback, answers come sooner.
NO_ANSWER_TIMEOUT_S = 0.2


@dataclass(frozen=True, slots=True)
class Response:
    """The response to a request, or the exception that was raised instead."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Exception | None = None

    @property
    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json.loads(self.body)


class EmulatorClient:
    """A client of one emulator."""

    def __init__(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.state = emulator.state
        self._session = session

    async def request(self, method: str, target: str, **options: Any) -> Response:
        """Send a request with the token. `target` is a path or a full URL."""
        headers = {"Authorization": f"Bearer {TOKEN}"} | options.pop("headers", {})
        url = target if target.startswith("http") else self.emulator.origin + target
        timeout = aiohttp.ClientTimeout(total=patient(options.pop("timeout_s", 10)))
        try:
            async with self._session.request(
                method, url, headers=headers, timeout=timeout, **options
            ) as answer:
                return Response(answer.status, answer.headers, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            return Response(failure=error)

    async def get(self, target: str, **options: Any) -> Response:
        """GET."""
        return await self.request("GET", target, **options)

    async def create(
        self, prompt: str = "Medieval monk", path: str = IMAGEN, **options: Any
    ) -> Response:
        """POST a prediction. `given` extends the input, `body` the body."""
        given = {"prompt": prompt} | options.pop("given", {})
        body = {"input": given} | options.pop("body", {})
        return await self.request("POST", path, json=body, **options)

    async def poll(self, created: Response, **options: Any) -> Response:
        """GET the prediction that this create made."""
        return await self.get(created.json["urls"]["get"], **options)


@asynccontextmanager
async def emulator_client(**settings: Any) -> AsyncIterator[EmulatorClient]:
    """Run an emulator and return a client of it.

    Its clock is stopped unless `is_running`. Predictions start after 1 s of its time and run for
    4 s.
    """
    is_running = settings.pop("is_running", False)
    fixed = {"starting_s": 1.0, "run_min_s": 4.0, "run_max_s": 4.0}
    async with (
        Emulator(EmulatorSettings(**fixed | settings)) as emulator,
        aiohttp.ClientSession() as session,
    ):
        if not is_running:
            emulator.state.clock.scale(0)
        yield EmulatorClient(emulator, session)
