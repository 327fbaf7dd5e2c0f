"""Checks requests and answers of a server against its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import ClientResponse
from jsonschema import Draft202012Validator

from phoenix_compat.server.http.openapi.described import Answer, Route
from phoenix_compat.server.http.openapi.document import (
    JSON_TYPE,
    PROBLEM_TYPE,
    openapi_document,
)
from phoenix_compat.server.http.openapi.routes import ROUTES

_BY_NAME: Final[Mapping[tuple[str, str], Route]] = {
    (route.method, route.path): route for route in ROUTES
}


async def check_answer(answer: ClientResponse, method: str, path: str) -> Any:
    """Check an answer of a route; returns its JSON, or None.

    Args:
        path: the path of the route, with its placeholders.
    """
    body = await answer.read()
    described = _described(method, path, answer.status)
    for name, named in described["headers"].items():
        header = _resolved(named)
        if name in answer.headers:
            _validate(answer.headers[name], header["schema"])
        else:
            assert not header.get("required"), f"{method} {path}: {answer.status} without {name}"
    content: Mapping[str, Any] = described.get("content", {})
    if not content:
        assert body == b""
        return None
    kind = answer.content_type
    family = f"{kind.partition('/')[0]}/*"
    assert kind in content or family in content, f"{method} {path}: {answer.status} is {kind}"
    if kind not in {JSON_TYPE, PROBLEM_TYPE}:
        return None
    found = json.loads(body)
    _validate(found, content[kind]["schema"])
    _check_keys(found, _BY_NAME[method, path], answer.status, kind)
    return found


def _resolved(header: Mapping[str, Any]) -> Mapping[str, Any]:
    name = header.get("$ref", "").removeprefix("#/components/headers/")
    found: Mapping[str, Any] = openapi_document()["components"]["headers"].get(name, header)
    return found


def _described(method: str, path: str, status: int) -> Mapping[str, Any]:
    responses = openapi_document()["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, f"{method} {path} is not described as answering {status}"
    found: Mapping[str, Any] = responses[str(status)]
    return found


def _validate(value: Any, schema: Mapping[str, Any]) -> None:
    whole = {**schema, "components": openapi_document()["components"]}
    Draft202012Validator(whole).validate(value)


def _check_keys(found: Any, route: Route, status: int, kind: str) -> None:
    """The schema lets further keys pass; the model does not."""
    answers: list[Answer] = [one for one in route.answers if one.status == status]
    if kind == JSON_TYPE and answers and answers[0].model is not None:
        model = answers[0].model
        parsed = model.model_validate_json(json.dumps(found))
        assert parsed.model_dump(exclude_unset=True) == found
