"""Made-up requests, by the OpenAPI document: no error of the server, no answer it does not name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.http.openapi.document import openapi_document
from phoenix_compat.server.http.openapi.routes import ROUTES
from tests.integration.openapi.fuzzing import CHECKS, LEFT_OUT, Found, fuzz, known_checks
from tests.integration.openapi.openapi_server import MONK, Server, open_server
from tests.integration.ownership.credentials import by_key
from tests.integration.uploads.photo import photo

SEED = 20_261_130
OPERATOR_SCOPES = frozenset(Scope)


async def document_for(server: Server, **headers: str) -> dict[str, Any]:
    """The document of a server, with values that lead somewhere: task types, and a stored file."""
    jpeg = {"Content-Type": "image/jpeg", **headers}
    sent = await server.ask("POST", "/api/files", data=photo(), headers=jpeg, status=201)
    await server.ask("POST", "/api/tasks", json=MONK, headers=headers, status=202)
    found = await server.ask("GET", "/openapi.json", status=200)
    document: dict[str, Any] = copy.deepcopy(found)
    inputs = document["components"]["schemas"]["CreateTask"]["properties"]["input_data"]
    inputs["properties"]["type"]["enum"] = ["image", "text", "upscale"]
    name = sent["url"].rpartition("/")[2]
    document["paths"]["/files/{name}"]["get"]["parameters"][0]["schema"]["enum"] = [name, "a.png"]
    return document


def assert_good(found: Found, cases: int) -> None:
    """There were enough cases, about every route, and nothing was found."""
    assert found.failures == [], json.dumps(found.failures, indent=1)[:4_000] + found.output
    assert found.cases >= cases, found.output
    assert found.tested == len(ROUTES)


async def test_every_check_is_used_or_left_out_with_a_reason() -> None:
    """A new version of schemathesis may bring further checks."""
    assert {*CHECKS, *LEFT_OUT} == await known_checks()


@pytest.mark.timeout(240)
async def test_200_requests_find_nothing(tmp_path: Path) -> None:
    """Valid and invalid ones, and requests that follow from answers."""
    async with open_server(tmp_path) as server:
        document = await document_for(server)

        found = await fuzz(
            document,
            server.url,
            tmp_path,
            phases="examples,fuzzing,stateful",
            cases_per_route=12,
            seed=SEED,
        )

    assert_good(found, 200)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("auth", [False, True], ids=["without-auth", "with-auth"])
async def test_2000_requests_find_nothing(tmp_path: Path, *, auth: bool) -> None:
    """All phases; with authentication, also whether it can be left out."""
    keys = {"operator": OPERATOR_SCOPES} if auth else None
    headers = by_key("key:operator", OPERATOR_SCOPES).headers if auth else {}
    async with open_server(tmp_path, keys) as server:
        document = await document_for(server, **headers)

        found = await fuzz(
            document,
            server.url,
            tmp_path,
            phases="examples,coverage,fuzzing,stateful",
            cases_per_route=120,
            seed=SEED,
            headers=headers,
        )

    assert openapi_document(needs_credentials=auth)["paths"].keys() == document["paths"].keys()
    assert_good(found, 2_000)
