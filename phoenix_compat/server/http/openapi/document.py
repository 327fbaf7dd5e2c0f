"""Makes the OpenAPI document from the descriptions of the routes and the models of their JSON.

Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from phoenix_compat.server.http.openapi import problems
from phoenix_compat.server.http.openapi.described import Answer, Body, Example, Parameter, Route
from phoenix_compat.server.http.openapi.headers import HEADERS
from phoenix_compat.server.http.openapi.problems import PROBLEMS
from phoenix_compat.server.http.openapi.routes import ROUTES, WEBHOOKS
from phoenix_compat.server.http.schemas.problem import Problem
from phoenix_compat.version import __version__

Document: TypeAlias = dict[str, Any]

JSON_TYPE: Final = "application/json"
EVENTS_TYPE: Final = "text/event-stream"
PROBLEM_TYPE: Final = "application/problem+json"
PROBLEM_URN: Final = "urn:phoenix-compat:problem:"
BEARER: Final = "bearer"

TAGS: Final[Mapping[str, str]] = {
    "tasks": "What clients ask for, such as a picture.",
    "files": "Files for tasks, and files that tasks have made.",
    "backends": "For other backends: PHP, Ruby, Go, Node and so on.",
    "server": "The server itself.",
}
"""The groups of routes, in their order."""

MAX_SAFE_INTEGER: Final = 2**53 - 1
API_PREFIX: Final = "/api/"

_REQUEST_ID: Final = "X-Request-Id"
_HEADERS: Final = "#/components/headers/"
_CHALLENGE: Final = "WWW-Authenticate"
_SCHEMAS: Final = "#/components/schemas/"
ABOUT: Final = """Creates tasks, and answers what became of them. A task runs a model on Replicate.

- **Errors** are problem documents (RFC 9457). The last word of their `type` is stable, `detail` is
  for people.
- **Credentials** are sent as `Authorization: Bearer …`: a key, a JSON Web Token or a Phoenix.Token.
  Where the operator has turned authentication off, none is needed. The setting `token_headers` can
  name other headers.
- **Scopes**: each operation names the scope that a credential needs. `operate` includes `create`,
  `read` and `cancel` for the tasks of all owners.
- **Owners**: a client sees the tasks of its owner. With the scope `impersonate` a backend names the
  owner in the header `X-Owner`.
- **Keys without a value** are left out, never null. Later versions may add keys.
- **Ids of requests**: each answer has an `X-Request-Id`, which is in the lines of the server's log
  too. An id that the client sends is used, if it has 20 to 200 visible characters.
- **Web pages** of other origins can use `/api` and read `/files` if the setting `check_origin`
  names them; then answers have the headers of CORS, and `OPTIONS` is answered. All answers have
  `X-Content-Type-Options`, `Referrer-Policy` and a `Content-Security-Policy`.
- **HEAD** is answered wherever GET is. Empty segments of paths are ignored: `//api/tasks/` is
  `/api/tasks`.
- A request that is not valid HTTP, or whose head is longer than 64 KiB, is answered with 400, 408
  or 431 and text.
- What happens to a task can be watched on `/socket`, over Phoenix Channels."""


@cache
def openapi_document(*, needs_credentials: bool = False) -> Document:
    """The document of the routes in `ROUTES`. It takes a moment; later calls return the same.

    Args:
        needs_credentials: whether it is about a server with authentication; otherwise credentials
            are optional in the document.
    """
    return make_document(ROUTES, needs_credentials=needs_credentials)


def make_document(routes: Iterable[Route], *, needs_credentials: bool = False) -> Document:
    """Make a document of some routes; see `openapi_document`."""
    routes = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route)
        if needs_credentials and operation["security"]:
            operation["security"].remove({})
        for response in operation["responses"].values():
            response.setdefault("headers", {})[_REQUEST_ID] = {"$ref": _HEADERS + _REQUEST_ID}
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "phoenix_compat",
            "version": __version__,
            "summary": "Tasks for models on Replicate, watched over Phoenix Channels.",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This server."}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "webhooks": {one.path: {one.method.lower(): _operation(one)} for one in WEBHOOKS},
        "components": {
            "schemas": _schemas((*routes, *WEBHOOKS)),
            "headers": {_REQUEST_ID: _header(_REQUEST_ID, is_required=True)},
            "securitySchemes": {
                BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key (`pck_…`), a JSON Web Token or a Phoenix.Token.",
                }
            },
        },
    }


def problem_words(route: Route) -> tuple[str, ...]:
    """The words of all problems that a route can be answered with."""
    words = [*route.problems]
    if route.is_guarded:
        words += problems.GUARDED
    if route.path.startswith(API_PREFIX):
        words += problems.API
        if route.method != "GET":
            words += problems.CHANGES
    return tuple(word for word in PROBLEMS if word in words)


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    """The named schemas: those of all models and of what they refer to."""
    models: dict[type[BaseModel], None] = {Problem: None}
    for route in routes:
        if route.body is not None:
            models.update((one, None) for one in route.body.models)
        for one in route.answers:
            shown = (one.model, *one.events.values())
            models.update((model, None) for model in shown if model is not None)
    for model in models:
        model.model_rebuild()
    inputs = [(model, "validation") for model in models]
    _, definitions = models_json_schema(inputs, ref_template=f"{_SCHEMAS}{{model}}")  # type: ignore[arg-type] # its Literal is not public
    named: dict[str, Any] = definitions["$defs"]
    return named


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
    }
    text = route.text
    if route.scope is not None:
        text = f"{text}\n\nNeeds the scope `{route.scope}`.".strip()
    if text:
        operation["description"] = text
    parameters = [*map(_parameter, route.parameters), *_query(route)]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = _request_body(route.body, route.example)
    operation["responses"] = _responses(route)
    scopes = [] if route.scope is None else [str(route.scope)]
    operation["security"] = [{BEARER: scopes}, {}] if scopes or route.needs_credential else []
    return operation


def _parameter(one: Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {"name": one.name, "in": one.place, "description": one.text}
    if one.is_required:
        found["required"] = True
    return {**found, "schema": dict(one.schema)}


def _query(route: Route) -> Iterator[dict[str, Any]]:
    """The parameters of a query, from the properties of its model."""
    if route.query is None:
        return
    schema = route.query.model_json_schema()
    for name, inner in schema["properties"].items():
        inner.pop("title", None)
        text = inner.pop("description", "")
        if inner.get("default", "") is None:  # absent, not null
            del inner["default"]
            inner["type"] = next(one["type"] for one in inner.pop("anyOf"))
        # Clients in JavaScript cannot send larger numbers, and would send them rounded.
        if inner.get("maximum", 0) > MAX_SAFE_INTEGER:
            del inner["maximum"]
            inner.pop("default", None)
        yield {"name": name, "in": "query", "description": text, "schema": inner}


def _request_body(body: Body, example: Example | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        name: {"schema": dict(schema)} for name, schema in body.content_types.items()
    }
    if body.models:
        forms = [{"$ref": _SCHEMAS + one.__name__} for one in body.models]
        content[JSON_TYPE] = {"schema": forms[0] if len(forms) == 1 else {"anyOf": forms}}
        if example is not None:
            content[JSON_TYPE]["example"] = example.body
    return {"description": body.text, "required": True, "content": content}


def _responses(route: Route) -> dict[str, Any]:
    found: dict[int, dict[str, Any]] = {}
    for one in route.answers:
        found[one.status] = _answer(one, route.example)
    by_status: dict[int, list[str]] = {}
    for word in problem_words(route):
        by_status.setdefault(PROBLEMS[word].status, []).append(word)
    for status, words in by_status.items():
        refusal = _refusal(status, words, is_api=route.path.startswith(API_PREFIX))
        known = found.get(status)
        if known is None:
            found[status] = refusal
        else:
            known["description"] = f"{known['description']} Or:\n{refusal['description']}"
            known.setdefault("content", {}).update(refusal["content"])
            known["headers"] = {
                name: {key: value for key, value in header.items() if key != "required"}
                for name, header in {
                    **known.get("headers", {}),
                    **refusal.get("headers", {}),
                }.items()
            }
            if not known["headers"]:
                del known["headers"]
    return {str(status): found[status] for status in sorted(found)}


def _answer(one: Answer, example: Example | None) -> dict[str, Any]:
    content: dict[str, Any] = {name: {"schema": {}} for name in one.content_types}
    if one.model is not None:
        content[JSON_TYPE] = {"schema": {"$ref": _SCHEMAS + one.model.__name__}}
        if example is not None and example.status == one.status and example.answer is not None:
            content[JSON_TYPE]["example"] = example.answer
    if one.events:
        content[EVENTS_TYPE] = {  # OpenAPI 3.1 has no schema for single events
            "schema": {},
            "x-events": {
                name: {"$ref": _SCHEMAS + model.__name__} for name, model in one.events.items()
            },
        }
    found: dict[str, Any] = {"description": one.text}
    if content:
        found["content"] = content
    headers = {name: _header(name, is_required=True) for name in one.headers}
    headers |= {name: _header(name) for name in one.optional_headers}
    if headers:
        found["headers"] = headers
    if one.links:
        found["links"] = {
            name: {"operationId": name, "parameters": dict(values)}
            for name, values in one.links.items()
        }
    return found


def _refusal(status: int, words: list[str], *, is_api: bool) -> dict[str, Any]:
    """The answer with problem documents of these kinds; other servers get no challenge."""
    lines = [f"- `{word}`: {PROBLEMS[word].text}" for word in words]
    phrase = HTTPStatus(status).phrase
    names = [PROBLEM_URN + word for word in words]
    schema = {"allOf": [{"$ref": f"{_SCHEMAS}Problem"}, {"properties": {"type": {"enum": names}}}]}
    examples = {
        word: {
            "value": {
                "type": PROBLEM_URN + word,
                "title": phrase,
                "status": status,
                "detail": PROBLEMS[word].text,
            }
        }
        for word in words
    }
    found: dict[str, Any] = {
        "description": f"{phrase}. The `type` ends with\n" + "\n".join(lines),
        "content": {PROBLEM_TYPE: {"schema": schema, "examples": examples}},
    }
    headers = [PROBLEMS[word].header for word in words]
    named = {name for name in headers if name is not None} - (set() if is_api else {_CHALLENGE})
    if named:
        found["headers"] = {
            name: _header(name, is_required=None not in headers and len(named) == 1)
            for name in sorted(named)
        }
    return found


def _header(name: str, *, is_required: bool = False) -> dict[str, Any]:
    text, schema = HEADERS[name]
    found: dict[str, Any] = {"description": text}
    if is_required:
        found["required"] = True
    return {**found, "schema": dict(schema)}
