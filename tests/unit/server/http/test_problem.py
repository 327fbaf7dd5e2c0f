"""Errors as problems."""

from __future__ import annotations

import json

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from phoenix_compat.server.http.problem import answering_problems
from phoenix_compat.tasks.model.errors import OutcomeUnknownError


async def test_an_unknown_outcome_is_not_called_unchanged() -> None:
    """The client learns that it may repeat the request with a key, and after how long."""

    async def prepare(_request: web.Request) -> None:
        pass

    async def handler(_request: web.Request) -> web.StreamResponse:
        raise OutcomeUnknownError("PostgreSQL did not answer a commit")

    answer = answering_problems(prepare)
    response = await answer(make_mocked_request("POST", "/api/tasks"), handler)

    assert isinstance(response, web.Response)
    problem = json.loads(response.text or "")
    assert response.status == problem["status"] == 503
    assert problem["type"] == "urn:phoenix-compat:problem:unknown-outcome"
    assert "Idempotency-Key" in problem["detail"]
    assert response.headers["Retry-After"] == "2"
